"""The kernel grader as a module: what is exported, checkpointed and asked for predictions. It holds buffers only.

Shapes: B texts, L n-grams of a text, V n-grams of all prompts, P prompts, S sets of training texts (one for
each prompt, or one for all), N training texts of a set at most, F features, G families of features, K traits, C labels,
M = 1 + K + C targets (the score first), R regions of the predicted score.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import trainer as tr
from components.writing.codec.features import CLIP, FAMILIES, FEATURES

DOUBLE = torch.float64  # a score of 60 points to 1e-5 leaves float32 no digit to spare


class KernelGrader(tr.LightningModule):
    """Gives a score from n-grams (linear) and surface features (a Gaussian kernel to the training texts).

    Fitted by `components.writing.kernel.fit.fit_kernel`, not by gradient steps.

    Args:
        prompts: P.
        grams: V, padding included.
        support: N.
        traits: K.
        labels: C; 0 where the score to give is the raw one rounded.
        pooled: one set of training texts serves all prompts.
        regions: R.
        gamma: of the Gaussian: exp(-gamma d^2).
        figures: what fitting says of itself, e.g. `valid_qwk`.
    """

    monitor: ClassVar[str] = "valid_qwk"
    monitor_mode: ClassVar[str] = "max"
    input_names: ClassVar[tuple[str, ...]] = ("ids", "values", "features", "prompt")
    export_axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ids": ("batch", "steps"),
        "values": ("batch", "steps"),
        "grams": ("batch", "steps"),
        **dict.fromkeys(
            ("features", "prompt", "raw", "low", "high", "blocks", "effects", "traits", "label"), ("batch",)
        ),
    }
    """Which of an input's or output's first axes are free in the exported graph."""

    weight_VM: Tensor
    shift_V: Tensor
    is_character_V: Tensor
    usual_P: Tensor
    mean_part_P3: Tensor
    centre_PM: Tensor
    mean_PF: Tensor
    sd_PF: Tensor
    set_P: Tensor
    support_SNF: Tensor
    dual_SNM: Tensor
    bias_PC: Tensor
    point_PC: Tensor
    gamma_P: Tensor
    edges_PR: Tensor
    half_width_PR: Tensor
    has_trait_PK: Tensor
    family_FG: Tensor

    def __init__(
        self,
        prompts: int,
        grams: int,
        support: int,
        traits: int = 0,
        labels: int = 0,
        regions: int = 1,
        pooled: bool = False,
        figures: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.prompts, self.grams, self.traits, self.labels = prompts, grams, traits, labels
        self.figures = dict(figures or {})
        features, targets, sets = len(FEATURES), 1 + traits + labels, 1 if pooled else prompts
        self.register_buffer("weight_VM", torch.zeros(grams, targets, dtype=DOUBLE))
        self.register_buffer("shift_V", torch.zeros(grams, dtype=DOUBLE))
        self.register_buffer("is_character_V", torch.zeros(grams, dtype=torch.bool))
        self.register_buffer("usual_P", torch.zeros(prompts, dtype=DOUBLE))
        self.register_buffer("mean_part_P3", torch.zeros(prompts, 3, dtype=DOUBLE))
        self.register_buffer("centre_PM", torch.zeros(prompts, targets, dtype=DOUBLE))
        self.register_buffer("mean_PF", torch.zeros(prompts, features, dtype=DOUBLE))
        self.register_buffer("sd_PF", torch.ones(prompts, features, dtype=DOUBLE))
        self.register_buffer("set_P", torch.zeros(prompts, dtype=torch.int64) if pooled else torch.arange(prompts))
        self.register_buffer("support_SNF", torch.zeros(sets, support, features, dtype=DOUBLE))
        self.register_buffer("dual_SNM", torch.zeros(sets, support, targets, dtype=DOUBLE))
        self.register_buffer("bias_PC", torch.zeros(prompts, labels, dtype=DOUBLE))
        self.register_buffer("point_PC", torch.zeros(prompts, labels, dtype=DOUBLE))
        self.register_buffer("gamma_P", torch.ones(prompts, dtype=DOUBLE))
        self.register_buffer("edges_PR", torch.full((prompts, regions), torch.inf, dtype=DOUBLE))
        self.register_buffer("half_width_PR", torch.zeros(prompts, regions, dtype=DOUBLE))
        self.register_buffer("has_trait_PK", torch.zeros(prompts, traits, dtype=torch.bool))
        family = torch.zeros(features, len(FAMILIES), dtype=DOUBLE)
        for f, feature in enumerate(FEATURES):
            family[f, FAMILIES.index(feature.family)] = 1.0
        self.register_buffer("family_FG", family)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what `forward` returns; `traits` and `label` only where there are any."""
        extra = (*(("traits",) if self.traits else ()), *(("label",) if self.labels else ()))
        return ("raw", "low", "high", "blocks", "effects", "grams", *extra)

    def forward(self, ids: Tensor, values: Tensor, features: Tensor, prompt: Tensor) -> tuple[Tensor, ...]:
        """Return scores, intervals and what moved them, all in points of the rubric; what is exported.

        Args:
            ids: (B, L) int64, n-grams; 0 for padding.
            values: (B, L) float32, their weights in the text.
            features: (B, F) float32, as the codec counts them.
            prompt: (B,) int64.

        Returns:
            `raw` (B,), not rounded and not clipped; `low` and `high` (B,), the interval; `blocks` (B, 3), what words,
            characters and features add to the prompt's usual score; `effects` (B, G), what each family of features
            adds over usual ones, the others as they are; `grams` (B, L), what each n-gram adds over its usual weight;
            and, where there are any, `traits` (B, K) and `label` (B,), the score of the likeliest label. All float64.
        """
        terms_BLM = self.weight_VM[ids] * values.to(DOUBLE).unsqueeze(-1)
        is_character_BL1 = self.is_character_V[ids].unsqueeze(-1)
        words_BM = terms_BLM.masked_fill(is_character_BL1, 0.0).sum(1)
        characters_BM = terms_BLM.masked_fill(~is_character_BL1, 0.0).sum(1)

        standard_BF = ((features.to(DOUBLE) - self.mean_PF[prompt]) / self.sd_PF[prompt]).clamp(-CLIP, CLIP)
        set_B = self.set_P[prompt]
        support_BNF, dual_BNM = self.support_SNF[set_B], self.dual_SNM[set_B]
        gamma_B11 = self.gamma_P[prompt].reshape(-1, 1, 1)
        squares_BNF = (standard_BF.unsqueeze(1) - support_BNF).square()
        distance_BN1 = squares_BNF.sum(-1, keepdim=True)
        likeness_BN1 = torch.exp(-gamma_B11 * distance_BN1)
        surface_BM = (likeness_BN1 * dual_BNM).sum(1)
        # With a family of features at the prompt's mean, where standardised features are 0.
        usual_BNG = torch.exp(-gamma_B11 * (distance_BN1 + (support_BNF.square() - squares_BNF) @ self.family_FG))
        effects_BG = ((likeness_BN1 - usual_BNG) * dual_BNM[:, :, :1]).sum(1)

        target_BM = self.centre_PM[prompt] + words_BM + characters_BM + surface_BM
        raw_B = target_BM[:, 0]
        blocks_B3 = torch.stack([words_BM[:, 0], characters_BM[:, 0], surface_BM[:, 0]], 1) - self.mean_part_P3[prompt]
        region_B1 = (raw_B.unsqueeze(-1) > self.edges_PR[prompt]).sum(-1, keepdim=True)
        half_B = self.half_width_PR[prompt].gather(1, region_B1).squeeze(-1)
        grams_BL = terms_BLM[:, :, 0] - self.shift_V[ids]
        found: tuple[Tensor, ...] = (raw_B, raw_B - half_B, raw_B + half_B, blocks_B3, effects_BG, grams_BL)
        if self.traits:
            found = (*found, target_BM[:, 1 : 1 + self.traits])
        if self.labels:
            likeliest_B1 = (target_BM[:, 1 + self.traits :] + self.bias_PC[prompt]).argmax(1, keepdim=True)
            found = (*found, self.point_PC[prompt].gather(1, likeliest_B1).squeeze(-1))
        return found

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return `index`, `raw`, `low`, `high` and, where there are any, `traits` (NaN: none) and `label`."""
        found = dict(zip(self.output_names, self(*(batch[name] for name in self.input_names)), strict=True))
        answer = {"index": batch["index"], **{name: found[name] for name in ("raw", "low", "high")}}
        if self.traits:
            answer["traits"] = found["traits"].masked_fill(~self.has_trait_PK[batch["prompt"]], torch.nan)
        if self.labels:
            answer["label"] = found["label"]
        return answer

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        """Return random valid inputs of B = `batch`, L = `steps`, as the exported graph takes them."""
        source = torch.Generator().manual_seed(seed)
        prompt = torch.randint(0, self.prompts, (batch,), generator=source)
        noise = torch.randn(batch, len(FEATURES), generator=source)
        return {
            "ids": torch.randint(0, self.grams, (batch, steps), generator=source),
            "values": torch.rand(batch, steps, generator=source) / steps**0.5,
            "features": (self.mean_PF[prompt] + self.sd_PF[prompt] * noise).float(),
            "prompt": prompt,
        }

    def configure_optimizers(self) -> Any:  # Any: as the trainer has it
        """Nothing is fitted by steps."""
        return None

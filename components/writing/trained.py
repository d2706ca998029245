"""A grader that is trained by gradient steps: loss, validation, what is exported; the text's vector is a subclass's.

Shapes: B texts, T tokens at most, W width of a text's vector, F features, G families of features, P prompts, K traits,
M = 1 + K targets (the score first), R regions of the predicted score.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # the name that everybody uses

import trainer as tr
from components.writing.calibration import calibrate
from components.writing.codec.features import CLIP, FAMILIES, FEATURES
from components.writing.heads import Heads
from components.writing.scale import Scale
from components.writing.targets import Targets


class TrainedGrader(tr.LightningModule, ABC):
    """Gives a score from a text's tokens and its surface features.

    A subclass makes `heads` and gives `encode`. The squared error of standardised scores is minimised; traits count as
    well where a text has them. After each epoch the stretch and the intervals are chosen on the validation texts, and
    kept with the weights.

    Args:
        scales: per prompt, lowest score, highest score and step.
        traits: K.
        trait_weight: of the traits' mean error beside the score's.
        stretches: of the predictions, tried on the validation split.
        confidence: share of human scores that the interval holds.
        regions: R.
    """

    monitor: ClassVar[str] = "valid_qwk"
    monitor_mode: ClassVar[str] = "max"
    input_names: ClassVar[tuple[str, ...]] = ("tokens", "features", "prompt")
    export_axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tokens": ("batch", "steps"),
        **dict.fromkeys(("features", "prompt", "raw", "low", "high", "effects", "traits"), ("batch",)),
    }
    """Which of an input's or output's first axes are free in the exported graph."""

    heads: Heads
    mean_PF: Tensor
    sd_PF: Tensor
    centre_PM: Tensor
    spread_PM: Tensor
    stretch_P: Tensor
    edges_PR: Tensor
    half_width_PR: Tensor
    has_trait_PK: Tensor
    family_GF: Tensor

    def __init__(
        self,
        scales: Sequence[Sequence[float]],
        traits: int,
        *,
        trait_weight: float,
        stretches: Sequence[float],
        confidence: float,
        regions: int,
    ) -> None:
        super().__init__()
        self.scales = tuple(Scale(low=low, high=high, step=step) for low, high, step in scales)
        self.traits = traits
        self.trait_weight = trait_weight
        self.stretches = tuple(stretches)
        self.confidence = confidence
        prompts, features, targets = len(self.scales), len(FEATURES), 1 + traits
        self.register_buffer("mean_PF", torch.zeros(prompts, features))
        self.register_buffer("sd_PF", torch.ones(prompts, features))
        self.register_buffer("centre_PM", torch.zeros(prompts, targets))
        self.register_buffer("spread_PM", torch.ones(prompts, targets))
        self.register_buffer("stretch_P", torch.ones(prompts))
        self.register_buffer("edges_PR", torch.full((prompts, regions), torch.inf))
        self.register_buffer("half_width_PR", torch.zeros(prompts, regions))
        self.register_buffer("has_trait_PK", torch.zeros(prompts, traits, dtype=torch.bool))
        family = torch.zeros(len(FAMILIES), features, dtype=torch.bool)
        for f, feature in enumerate(FEATURES):
            family[FAMILIES.index(feature.family), f] = True
        self.register_buffer("family_GF", family)
        self._seen: list[Tensor] = []

    @abstractmethod
    def encode(self, tokens_BT: Tensor) -> Tensor:
        """Return the texts' vectors (B, W); 0 among the tokens is padding."""

    def start_from(self, targets: Targets) -> None:
        """Take over the scales of the training texts, and the ridge on features that training starts from."""
        terms = targets.codec.prompts
        with torch.no_grad():
            for tensor, value in (
                (self.mean_PF, np.stack([one.mean_F for one in terms])),
                (self.sd_PF, np.stack([one.sd_F for one in terms])),
                (self.centre_PM, targets.centre_PM),
                (self.spread_PM, targets.spread_PM),
                (self.has_trait_PK, targets.has_trait_PK),
                (self.heads.linear_PMF, targets.ridge_PMF),
            ):
                tensor.copy_(torch.from_numpy(value))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what `forward` returns; `traits` only where there are any."""
        return ("raw", "low", "high", "effects", *(("traits",) if self.traits else ()))

    def forward(self, tokens: Tensor, features: Tensor, prompt: Tensor) -> tuple[Tensor, ...]:
        """Return scores, intervals and what features moved, all in points of the rubric; what is exported.

        Args:
            tokens: (B, T) int64; 0 for padding.
            features: (B, F) float32, as the codec counts them.
            prompt: (B,) int64.

        Returns:
            `raw` (B,), not rounded and not clipped; `low` and `high` (B,), the interval; `effects` (B, G), what each
            family of features adds over usual ones, the others as they are; and `traits` (B, K), where there are any.
        """
        standard_BF = self.standardised(features, prompt)
        usual_BGF = standard_BF.unsqueeze(1).masked_fill(self.family_GF, 0.0)
        variants_BXF = torch.cat([standard_BF.unsqueeze(1), usual_BGF], 1)
        target_BXM = self.heads(self.encode(tokens), variants_BXF, prompt).to(self.centre_PM.dtype)
        stretched_B1 = (self.spread_PM[:, 0] * self.stretch_P)[prompt].unsqueeze(-1)
        points_BX = self.centre_PM[prompt, :1] + stretched_B1 * target_BXM[:, :, 0]
        raw_B = points_BX[:, 0]
        region_B1 = (raw_B.unsqueeze(-1) > self.edges_PR[prompt]).sum(-1, keepdim=True)
        half_B = self.half_width_PR[prompt].gather(1, region_B1).squeeze(-1)
        found = (raw_B, raw_B - half_B, raw_B + half_B, points_BX[:, :1] - points_BX[:, 1:])
        if not self.traits:
            return found
        return (*found, self.centre_PM[prompt, 1:] + self.spread_PM[prompt, 1:] * target_BXM[:, 0, 1:])

    def standardised(self, features_BF: Tensor, prompt_B: Tensor) -> Tensor:
        """Return features as distances from a prompt's mean in standard deviations, at most `CLIP` of them."""
        known_BF = features_BF.to(self.mean_PF.dtype)
        return ((known_BF - self.mean_PF[prompt_B]) / self.sd_PF[prompt_B]).clamp(-CLIP, CLIP)

    def standard_targets(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return predictions (B, M) in standard deviations of the prompt's training scores, from their mean."""
        standard_BF = self.standardised(batch["features"], batch["prompt"])
        found: Tensor = self.heads(self.encode(batch["tokens"]), standard_BF.unsqueeze(1), batch["prompt"])
        return found.squeeze(1).float()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the mean over texts of the squared error of the score and, where they are known, of the traits."""
        prompt_B = batch["prompt"]
        given_BM = torch.cat([batch["score"].unsqueeze(1), batch["traits"]], 1)
        wanted_BM = (given_BM - self.centre_PM[prompt_B]) / self.spread_PM[prompt_B]
        is_known_BK = torch.isfinite(wanted_BM[:, 1:]) & self.has_trait_PK[prompt_B]
        errors_BM = (self.standard_targets(batch) - torch.nan_to_num(wanted_BM)).square()
        traits_B = (errors_BM[:, 1:] * is_known_BK).sum(1) / is_known_BK.sum(1).clamp(min=1)
        loss = (errors_BM[:, 0] + self.trait_weight * traits_B).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss * batch["weight"] if "weight" in batch else loss  # several processes share the batch

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Keep standardised predictions with their prompts and human scores."""
        columns = (self.standard_targets(batch)[:, 0], batch["prompt"].float(), batch["score"])
        self._seen.append(torch.stack(columns, 1))

    def on_validation_epoch_end(self) -> None:
        """Choose stretch and intervals for each prompt; log their QWK, its mean over prompts, and the squared error."""
        seen_V3 = self._gathered().cpu().double().numpy()
        self._seen.clear()
        prompt_V = seen_V3[:, 1].astype(np.int64)
        kappas, errors = [], []
        for p, scale in enumerate(self.scales):
            own = prompt_V == p
            centre, spread = float(self.centre_PM[p, 0]), float(self.spread_PM[p, 0])
            order = np.lexsort((seen_V3[own, 2], seen_V3[own, 0]))  # ranks have them in another order
            standard, score = seen_V3[own, 0][order], seen_V3[own, 2][order]
            chosen = calibrate(
                standard,
                score,
                centre=centre,
                spread=spread,
                scale=scale,
                stretches=self.stretches,
                confidence=self.confidence,
                regions=self.edges_PR.shape[1],
            )
            self.stretch_P[p] = chosen.stretch
            self.edges_PR[p] = torch.from_numpy(chosen.intervals.edges_R)
            self.half_width_PR[p] = torch.from_numpy(chosen.intervals.half_width_R)
            kappas.append(chosen.qwk)
            errors.append(np.square(standard - (score - centre) / spread))
            self.log(f"valid_qwk_{p}", chosen.qwk)
        self.log("valid_loss", float(np.concatenate(errors).mean()))
        self.log("valid_qwk", float(np.mean(kappas)))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return `index`, `raw`, `low`, `high` and, where there are any, `traits` (NaN where a prompt has none)."""
        found = dict(zip(self.output_names, self(*(batch[name] for name in self.input_names)), strict=True))
        answer = {"index": batch["index"], **{name: found[name] for name in ("raw", "low", "high")}}
        if self.traits:
            answer["traits"] = found["traits"].masked_fill(~self.has_trait_PK[batch["prompt"]], torch.nan)
        return answer

    def made_up_inputs(self, batch: int, steps: int, seed: int, tokens: int) -> dict[str, Tensor]:
        """Return random valid inputs of B = `batch`, T = `steps`, with ids below `tokens`."""
        source = torch.Generator().manual_seed(seed)
        prompt = torch.randint(0, len(self.scales), (batch,), generator=source)
        noise = torch.randn(batch, len(FEATURES), generator=source)
        lengths = torch.randint(1, steps + 1, (batch, 1), generator=source)
        ids = torch.randint(1, tokens, (batch, steps), generator=source)
        return {
            "tokens": torch.where(torch.arange(steps) < lengths, ids, 0),
            "features": (self.mean_PF[prompt] + self.sd_PF[prompt] * noise).float(),
            "prompt": prompt,
        }

    def _gathered(self) -> Tensor:
        """Return what was kept, of all batches and, with several ranks, of all ranks (whose counts differ)."""
        own = torch.cat(self._seen) if self._seen else torch.zeros(0, 3, device=self.device)
        if self.trainer.world_size == 1:
            return own
        counts: Any = self.all_gather(torch.tensor([len(own)], device=own.device))
        counts = counts.flatten()
        padded: Any = self.all_gather(F.pad(own, (0, 0, 0, int(counts.max()) - len(own))))
        parts = padded.reshape(len(counts), -1, 3)
        return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])

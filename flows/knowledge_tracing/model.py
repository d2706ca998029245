"""Training of knowledge tracing: loss, metrics, optimizer and what is exported; the networks are in `networks/`.

Shapes: B windows, T steps, K skills.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F  # the name that everybody uses

import trainer as tr
from components.artifacts import JsonValue
from components.errors import ConfigError
from components.layers.affine import AffineLogit, AffineLogitByGroup
from components.mitigation.affine import fit_affine, fit_by_group
from components.mitigation.groups import INPUT as GROUP
from components.mitigation.groups import disagreement
from components.mitigation.postprocess import RAW, by_group_json
from flows.knowledge_tracing.codec import UNKNOWN, Codec
from flows.knowledge_tracing.config import AttentionConfig, KnowledgeTracingTrainConfig, network_config
from flows.knowledge_tracing.networks.attention import AttentionNetwork
from flows.knowledge_tracing.networks.dkt import DktNetwork


class DeepKnowledgeTracing(tr.LightningModule):
    """Gives the probability of a correct answer at each step from the steps before it.

    Args:
        items: rows of the item table, padding and unknown included; 2 where the data have no items.
        skills: rows of the skill table, likewise.
        max_skills: K of the codec.
        network: fields of the network's configuration; its `network` says which it is.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        postprocess: fields of a PostprocessConfig; None for no post-processor, as in older checkpoints.
        group_by: the attribute that answers are mapped by; empty for none.
        groups: its groups with a map of their own.
    """

    monitor: ClassVar[str] = "valid_auc"
    monitor_mode: ClassVar[str] = "max"
    export_axes: ClassVar[Mapping[str, tuple[str, ...]]] = {GROUP: ("batch",)}
    output_names: ClassVar[tuple[str, ...]] = ("probability",)

    def __init__(
        self,
        items: int,
        skills: int,
        max_skills: int,
        network: dict[str, Any],  # Any: plain values of a config, so that a checkpoint holds no class of ours
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-4,
        postprocess: dict[str, Any] | None = None,  # Any: as above
        group_by: str = "",
        groups: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.max_skills = max_skills
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.items, self.skills = items, skills
        self.config = network_config(network)
        self.network: DktNetwork | AttentionNetwork
        if isinstance(self.config, AttentionConfig):
            self.network = AttentionNetwork(items, skills, self.config)
        else:
            self.network = DktNetwork(items, skills, self.config)
        self.postprocess = postprocess or {"kind": "none"}
        # without one there are no buffers, and the exported graph is the same as ever
        self.affine = AffineLogit() if self.postprocess["kind"] == "affine" else None
        self.group_by, self.groups = group_by, tuple(groups)
        self.affine_by_group = AffineLogitByGroup(len(self.groups)) if self.is_mapped_by_group else None
        self._seen: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def for_training(cls, folder: Path, config: KnowledgeTracingTrainConfig) -> Self:
        """Make a new model that fits the vocabulary of a dataset's folder."""
        codec = Codec.from_json(json.loads((folder / "codec.json").read_text(encoding="utf-8")))
        if (problem := disagreement(codec.group_by, config.postprocess)) is not None:
            raise ConfigError(problem)
        return cls(
            items=codec.item_count,
            skills=codec.skill_count,
            max_skills=codec.max_skills,
            network=asdict(config.model),
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            postprocess=asdict(config.postprocess),
            group_by=codec.group_by,
            groups=list(codec.groups),
        )

    @property
    def is_postprocessed(self) -> bool:
        """Whether answers go through an affine map."""
        return bool(self.postprocess["kind"] != "none")

    @property
    def is_mapped_by_group(self) -> bool:
        """Whether there is a map for each group."""
        return bool(self.postprocess["kind"] == "affine_by_group")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of what `forward` takes; `group` only where answers are mapped by it."""
        return ("items", "skills", "responses", *((GROUP,) if self.is_mapped_by_group else ()))

    def logits(self, items_BT: Tensor, skills_BTK: Tensor, responses_BT: Tensor) -> Tensor:
        """Return logits (B, T) of the network itself; step t sees responses before t only."""
        return self.network(items_BT, skills_BTK, responses_BT)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def forward(self, items: Tensor, skills: Tensor, responses: Tensor, group: Tensor | None = None) -> Tensor:
        """Return probabilities (B, T) for items (B, T), skills (B, T, K), responses (B, T); what is exported.

        Where answers are mapped by group, `group` (B,) is the index of each row's: 0 for the map for everybody.
        """
        return torch.sigmoid(self._mapped(self.logits(items, skills, responses), group))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the mean log loss over real steps, plus the pull of difficulties to zero.

        Where answers are weighed by group, each counts by its weight.
        """
        items_BT, skills_BTK, mask_BT = batch["items"], batch["skills"], batch["mask"]
        share = self.config.unknown_share
        if share > 0.0:
            hidden_BT = torch.rand(items_BT.shape, device=items_BT.device)
            items_BT = torch.where((hidden_BT < share) & (items_BT > 0), UNKNOWN, items_BT)
            hide_BT1 = (hidden_BT > 1.0 - share).unsqueeze(-1)
            skills_BTK = torch.where(hide_BT1 & (skills_BTK > 0), UNKNOWN, skills_BTK)
        logits_BT = self.logits(items_BT, skills_BTK, batch["responses"])
        losses_BT = F.binary_cross_entropy_with_logits(logits_BT, batch["responses"], reduction="none")
        if "group_weight" in batch:
            losses_BT = losses_BT * batch["group_weight"]
        loss = (losses_BT * mask_BT).sum() / mask_BT.sum()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        if "weight" in batch:  # several processes share the batch
            loss = loss * batch["weight"]
        if self.network.difficulty is not None:
            loss = loss + self.config.difficulty_l2 * self.network.difficulty.weight.square().mean()
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Keep predictions of the steps that count in figures."""
        logits_BT = self.logits(batch["items"], batch["skills"], batch["responses"])
        scored_BT = batch["scored"]
        self._seen.append((logits_BT[scored_BT], batch["responses"][scored_BT]))

    def on_validation_epoch_end(self) -> None:
        """Log AUC and log loss over all validation steps, of all ranks."""
        logits = self._gathered([p for p, _ in self._seen])
        labels = self._gathered([y for _, y in self._seen])
        self._seen.clear()
        self.log("valid_loss", F.binary_cross_entropy_with_logits(logits, labels))
        right = (labels >= 0.5).cpu().numpy()
        auc = float(roc_auc_score(right, logits.float().cpu().numpy())) if 0 < right.sum() < len(right) else 0.5
        self.log("valid_auc", auc)

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return the flat index and the probability of every real step; with a post-processor also without it."""
        mask_BT = batch["mask"]
        logits_BT = self.logits(batch["items"], batch["skills"], batch["responses"])
        found = {
            "index": batch["index"],
            "probability": torch.sigmoid(self._mapped(logits_BT, batch.get(GROUP))).float(),
        }
        if self.is_postprocessed:
            found[RAW] = torch.sigmoid(logits_BT).float()
        return {name: value[mask_BT] for name, value in found.items()}

    def fit_postprocessor(self, batches: Iterable[dict[str, Tensor]]) -> Mapping[str, JsonValue]:
        """Fit the affine map, or maps, to the scored steps of validation batches, and return what is told of it."""
        parts = []
        with torch.inference_mode():
            for batch in batches:
                scored_BT = batch["scored"]
                logits_BT = self.logits(batch["items"], batch["skills"], batch["responses"])
                group_BT = batch[GROUP].unsqueeze(-1).expand_as(scored_BT) if GROUP in batch else scored_BT
                own = (logits_BT.double(), batch["responses"].double(), group_BT)
                parts.append(tuple(one[scored_BT].numpy() for one in own))
        logit, label, group = (np.concatenate(own) for own in zip(*parts, strict=True))
        if self.affine_by_group is not None:
            everybody, by_group = fit_by_group(logit, label, group, len(self.groups), self.postprocess["min_scored"])
            self.affine_by_group.set([(one.slope, one.intercept) for one in (everybody, *by_group)])
            return by_group_json(everybody, self.group_by, dict(zip(self.groups, by_group, strict=True)))
        found = fit_affine(logit, label, self.postprocess["min_scored"])
        if self.affine is not None:
            self.affine.set(found.slope, found.intercept)
        return found.to_json()

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW (one fused kernel) under a one-cycle rate over the whole training."""
        table, speed = self.network.difficulty, self.config.difficulty_speed
        groups: list[dict[str, Any]] = [{"params": list(self.parameters()), "lr": self.learning_rate}]
        if table is not None and speed != 1.0:
            rest = [p for p in self.parameters() if p is not table.weight]
            groups = [
                {"params": rest, "lr": self.learning_rate},
                {"params": [table.weight], "lr": speed * self.learning_rate},
            ]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in groups],
            total_steps=max(1, int(self.trainer.estimated_stepping_batches)),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        """Return random valid inputs of B = `batch`, T = `steps`, as the exported graph takes them (int64, float32)."""
        source = torch.Generator().manual_seed(seed)
        skills = torch.randint(1, self.skills, (batch, steps, self.max_skills), generator=source)
        sizes = torch.randint(1, self.max_skills + 1, (batch, steps, 1), generator=source)
        skills = torch.where(torch.arange(self.max_skills) < sizes, skills, 0)
        items = torch.zeros(batch, steps, dtype=torch.int64)
        if self.network.difficulty is not None:
            items = torch.randint(0, self.items, (batch, steps), generator=source)
        responses = torch.randint(0, 2, (batch, steps), generator=source).float()
        made = {"items": items, "skills": skills, "responses": responses}
        if self.is_mapped_by_group:
            made[GROUP] = torch.randint(0, 1 + len(self.groups), (batch,), generator=source)
        return made

    def _mapped(self, logits_BT: Tensor, group_B: Tensor | None) -> Tensor:
        if self.affine_by_group is not None:
            if group_B is None:
                raise ValueError("Answers are mapped by group, and none is given; expected an index (B,), 0 for none.")
            return self.affine_by_group(logits_BT, group_B)  # type: ignore[no-any-return]  # as above
        return logits_BT if self.affine is None else self.affine(logits_BT)

    def _gathered(self, parts: list[Tensor]) -> Tensor:
        """Concatenate over batches and, with several ranks, over ranks (whose counts differ)."""
        own = torch.cat(parts) if parts else torch.zeros(0, device=self.device)
        if self.trainer.world_size == 1:
            return own
        counts = self.all_gather(torch.tensor([len(own)], device=own.device)).flatten()
        padded = F.pad(own, (0, int(counts.max()) - len(own)))
        everyone = self.all_gather(padded).reshape(len(counts), -1)
        return torch.cat([row[: int(count)] for row, count in zip(everyone, counts, strict=True)])

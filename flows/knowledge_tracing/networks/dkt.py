"""Deep knowledge tracing: an LSTM over answered steps, with skill sets and a difficulty per problem.

After Piech et al. 2015 (DKT), with Rasch's scalar difficulty per problem taken from the logit. Ours differs: a step has
a set of skills (their embeddings' mean), and the first step is predicted too. Difficulty in the input as well (Ghosh,
Heffernan & Lan 2020) overfits: on assist2009_pid, fold 1, a row per skill, test AUC .821 with it and .833 without.

Shapes: B windows, T steps, K skills, D width, H hidden.
"""

import torch
from torch import Tensor, nn

from components.layers.dropout import Dropout
from flows.knowledge_tracing.codec import UNKNOWN
from flows.knowledge_tracing.config import DktConfig
from flows.knowledge_tracing.networks.skills import mean_embedding, skill_shares


class DktNetwork(nn.Module):
    """Gives the logit of a correct answer at each step from the steps before it.

    Args:
        items: rows of the item table, padding and unknown included; 2 where the data have no items.
        skills: rows of the skill table, likewise.
        config: sizes and dropout.
    """

    def __init__(self, items: int, skills: int, config: DktConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden
        self.dropout = Dropout(config.dropout)
        self.skill_asked = nn.Embedding(skills, width, padding_idx=0)
        self.skill_answered = nn.Embedding(skills, width, padding_idx=0)
        self.skill_logit = nn.Embedding(skills, hidden, padding_idx=0)
        self.skill_bias = nn.Embedding(skills, 1, padding_idx=0)
        self.first = nn.Parameter(torch.zeros(width))
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(1))
        self.difficulty: nn.Embedding | None = None
        if items > UNKNOWN + 1:
            self.difficulty = nn.Embedding(items, 1, padding_idx=0)
            nn.init.zeros_(self.difficulty.weight)
        for table in (self.skill_asked, self.skill_answered):
            nn.init.normal_(table.weight, std=0.1)
            nn.init.zeros_(table.weight[0].detach())
        nn.init.normal_(self.skill_logit.weight, std=hidden**-0.5)
        nn.init.zeros_(self.skill_logit.weight[0].detach())
        nn.init.zeros_(self.skill_bias.weight)

    def forward(self, items_BT: Tensor, skills_BTK: Tensor, responses_BT: Tensor) -> Tensor:
        """Return logits (B, T); step t sees responses before t only."""
        share_BTK = skill_shares(skills_BTK, like=responses_BT)

        def mean(table: nn.Embedding) -> Tensor:
            return mean_embedding(table, skills_BTK, share_BTK)

        answered_BTD = mean(self.skill_asked) + responses_BT.unsqueeze(-1) * mean(self.skill_answered)
        first_B1D = self.first.expand(answered_BTD.shape[0], 1, -1)
        past_BTD = torch.cat([first_B1D, answered_BTD[:, :-1]], dim=1)  # in this order: the LSTM wants it contiguous
        state_BTH, _ = self.lstm(past_BTD)
        state_BTH = self.dropout(state_BTH)
        logits_BT: Tensor = (state_BTH * mean(self.skill_logit)).sum(-1) + mean(self.skill_bias).squeeze(-1) + self.bias
        if self.difficulty is not None:
            logits_BT = logits_BT - self.difficulty(items_BT).squeeze(-1)
        return logits_BT

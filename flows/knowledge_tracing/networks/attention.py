"""Attention over answered steps whose weight falls with distance.

After Ghosh, Heffernan & Lan 2020 (AKT): a retriever asks the answers so far about the step to predict; queries and keys
share one projection, and each head learns how fast it forgets. Further blocks may read the answers among themselves
first, as AKT's knowledge encoder does. Ours differs:

- Head h takes theta_h times the distance in steps from the score, theta_h >= 0 learned, as ALiBi does with fixed slopes
  (Press, Smith & Lewis 2022). AKT multiplies the score by exp(-theta_h d), which *raises* the weight of far steps where
  the score is negative; taken away, distance can only lower it. AKT's distance also depends on the scores themselves
  and costs a second softmax. theta_h log(1 + d) instead was no better in validation.
- A learned start stands before the first answer. It does not fade, so that its weight tells how much is known, and
  the first step is predicted too.
- A step has a set of skills (their embeddings' mean). The problem's difficulty is a scalar taken from the logit, and
  learns faster than the rest. In the input as well (AKT-R) it overfits: on assist2009_pid, fold 1, a row per problem,
  the best validation AUC was .779 with it (two tries) and .784 without (five tries).

Shapes: B windows, T steps, K skills, D width, H heads, C width of a head. Step t reads places 0 (the start) to t; place
j > 0 is the answer to step j - 1.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the name that everybody uses

from components.layers.dropout import Dropout
from flows.knowledge_tracing.codec import UNKNOWN
from flows.knowledge_tracing.config import AttentionConfig
from flows.knowledge_tracing.networks.skills import mean_embedding, skill_shares


class DecayingAttention(nn.Module):
    """Causal attention in several heads; place t reads places 0 to t, the far ones less.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        # ALiBi's slopes, from 2^(-8/H) to 2^-8: the heads begin with spans of one to hundreds of steps.
        slopes_H = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
        self.raw_decay = nn.Parameter(torch.log(torch.expm1(slopes_H)))
        self.start = nn.Parameter(torch.zeros(heads))

    def decay(self) -> Tensor:
        """Return theta (H,), at least 0: how much a step of distance takes from the score."""
        return F.softplus(self.raw_decay)

    def bias(self, steps: int) -> Tensor:
        """Return what is added to the scores (H, T, T): -theta d at distance d, the start's own, -inf ahead."""
        place_T = torch.arange(steps, device=self.start.device)
        distance_TT = (place_T[:, None] - place_T).clamp(min=0).to(self.start.dtype)
        is_future_TT = place_T > place_T[:, None]
        bias_HTT = -self.decay()[:, None, None] * distance_TT
        bias_HTT = torch.where(place_T == 0, self.start[:, None, None], bias_HTT)
        return bias_HTT.masked_fill(is_future_TT, -math.inf)

    def weights(self, query_BTD: Tensor, key_BTD: Tensor) -> Tensor:
        """Return the attention weights (B, H, T, T); each row sums to 1."""
        query_BHTC = self._by_head(self.query_key(query_BTD))
        key_BHTC = self._by_head(self.query_key(key_BTD))
        score_BHTT = (query_BHTC * query_BHTC.shape[-1] ** -0.5) @ key_BHTC.transpose(-1, -2)
        return torch.softmax(score_BHTT + self.bias(query_BTD.shape[1]), dim=-1)

    def forward(self, query_BTD: Tensor, key_BTD: Tensor, value_BTD: Tensor) -> Tensor:
        """Return (B, T, D): at each place the values of the places up to it, weighted."""
        # Not F.scaled_dot_product_attention: with a bias that learns it is 1.3 times slower on a CPU (torch 2.13).
        read_BHTC = self.weights(query_BTD, key_BTD) @ self._by_head(self.value(value_BTD))
        return self.out(read_BHTC.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def _by_head(self, x_BTD: Tensor) -> Tensor:
        x_BTHC = x_BTD.reshape(*x_BTD.shape[:2], self.heads, -1)
        return x_BTHC.transpose(1, 2)


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to the state after its input was normalised."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.attention = DecayingAttention(config.width, config.heads)
        self.query_norm = nn.LayerNorm(config.width)
        self.key_norm = nn.LayerNorm(config.width)
        self.value_norm = nn.LayerNorm(config.width)
        self.feed_norm = nn.LayerNorm(config.width)
        self.feed = nn.Sequential(
            nn.Linear(config.width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.width)
        )

    def forward(self, state_BTD: Tensor, key_BTD: Tensor, value_BTD: Tensor) -> Tensor:
        """Return the new state (B, T, D)."""
        read_BTD = self.attention(self.query_norm(state_BTD), self.key_norm(key_BTD), self.value_norm(value_BTD))
        state_BTD = state_BTD + self.dropout(read_BTD)
        fed_BTD = self.feed(self.feed_norm(state_BTD))
        return state_BTD + self.dropout(fed_BTD)  # type: ignore[no-any-return]  # nn.Module calls are untyped


class AttentionNetwork(nn.Module):
    """Gives the logit of a correct answer at each step from the steps before it.

    Args:
        items: rows of the item table, padding and unknown included; 2 where the data have no items.
        skills: rows of the skill table, likewise.
        config: sizes and dropout.
    """

    def __init__(self, items: int, skills: int, config: AttentionConfig) -> None:
        super().__init__()
        width = config.width
        self.dropout = Dropout(config.dropout)
        self.skill_asked = nn.Embedding(skills, width, padding_idx=0)
        self.skill_answered = nn.Embedding(skills, width, padding_idx=0)
        self.skill_logit = nn.Embedding(skills, width, padding_idx=0)
        self.skill_bias = nn.Embedding(skills, 1, padding_idx=0)
        self.right = nn.Parameter(torch.randn(width) * 0.1)
        self.first = nn.Parameter(torch.zeros(width))
        self.encoders = nn.ModuleList(Block(config) for _ in range(config.blocks - 1))
        self.retriever = Block(config)
        self.state_norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(1))
        self.difficulty: nn.Embedding | None = None
        if items > UNKNOWN + 1:
            self.difficulty = nn.Embedding(items, 1, padding_idx=0)
            nn.init.zeros_(self.difficulty.weight)
        for table, std in ((self.skill_asked, 0.1), (self.skill_answered, 0.1), (self.skill_logit, width**-0.5)):
            nn.init.normal_(table.weight, std=std)
            nn.init.zeros_(table.weight[0].detach())
        nn.init.zeros_(self.skill_bias.weight)

    def forward(self, items_BT: Tensor, skills_BTK: Tensor, responses_BT: Tensor) -> Tensor:
        """Return logits (B, T); step t sees responses before t only."""
        share_BTK = skill_shares(skills_BTK, like=responses_BT)

        def mean(table: nn.Embedding) -> Tensor:
            return mean_embedding(table, skills_BTK, share_BTK)

        asked_BTD = mean(self.skill_asked)
        answered_BTD = asked_BTD + responses_BT.unsqueeze(-1) * (mean(self.skill_answered) + self.right)
        past_BTD = self._shifted(answered_BTD)
        for encoder in self.encoders:
            past_BTD = encoder(past_BTD, past_BTD, past_BTD)
        state_BTD = self.retriever(asked_BTD, self._shifted(asked_BTD), past_BTD)
        state_BTD = self.dropout(self.state_norm(state_BTD))
        logits_BT: Tensor = (state_BTD * mean(self.skill_logit)).sum(-1) + mean(self.skill_bias).squeeze(-1) + self.bias
        if self.difficulty is not None:
            logits_BT = logits_BT - self.difficulty(items_BT).squeeze(-1)
        return logits_BT

    def _shifted(self, steps_BTD: Tensor) -> Tensor:
        """Return what is known before each step (B, T, D): the start, then every step but the last."""
        first_B1D = self.first.expand(steps_BTD.shape[0], 1, -1)
        return torch.cat([first_B1D, steps_BTD[:, :-1]], dim=1)

"""From a text's vector and its surface features to standardised targets: one layer for all prompts, heads for each.

Shapes: B texts, X variants of a text's features, W width of a text's vector, D of which stand at its end for the
linear part, H hidden width, F features, P prompts, M targets.
"""

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """Adds what text and features say together to a linear part, where training starts from a ridge on the features.

    Args:
        prompts: P.
        width: W.
        features: F.
        targets: M.
        hidden: H.
        dropout: share of the hidden layer that is zeroed in training.
        direct: D, numbers of a text's vector that go past the hidden layer.
    """

    def __init__(
        self,
        *,
        prompts: int,
        width: int,
        features: int,
        targets: int,
        hidden: int,
        dropout: float,
        direct: int = 0,
    ) -> None:
        super().__init__()
        self.direct = direct
        self.of_text = nn.Linear(width - direct, hidden)
        self.of_features = nn.Linear(features, hidden, bias=False)
        self.of_prompt = nn.Embedding(prompts, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output_PMH = nn.Parameter(0.02 * torch.randn(prompts, targets, hidden))
        self.linear_PMF = nn.Parameter(torch.zeros(prompts, targets, features))
        self.direct_PMD = nn.Parameter(torch.randn(prompts, targets, direct) / max(1, direct) ** 0.5)
        self.bias_PM = nn.Parameter(torch.zeros(prompts, targets))
        nn.init.normal_(self.of_prompt.weight, std=0.1)

    def forward(self, text_BW: Tensor, standard_BXF: Tensor, prompt_B: Tensor) -> Tensor:
        """Return (B, X, M) targets in standard deviations of the prompt's training scores, from their mean."""
        joined = self.of_text.in_features
        text_BJ, text_BD = text_BW[:, :joined], text_BW[:, joined:]
        shared_B1H = (self.of_text(text_BJ) + self.of_prompt(prompt_B)).unsqueeze(1)
        hidden_BXH = self.dropout(torch.relu(shared_B1H + self.of_features(standard_BXF)))
        said_BXM = hidden_BXH @ self.output_PMH[prompt_B].transpose(1, 2)
        linear_BXM = standard_BXF @ self.linear_PMF[prompt_B].transpose(1, 2)
        constant_BM = self.bias_PM[prompt_B]
        if self.direct:
            constant_BM = constant_BM + (self.direct_PMD[prompt_B] @ text_BD.unsqueeze(-1)).squeeze(-1)
        found: Tensor = said_BXM + linear_BXM + constant_BM.unsqueeze(1)
        return found

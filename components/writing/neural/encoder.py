"""Words in order -> one vector of the text: patterns of three words, pooled, and all words' topics, order aside.

Shapes: B texts, T words, V known words, E width of a word's vector, C patterns, D topics.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the name that everybody uses

from components.writing.codec import PADDING, UNKNOWN

MASKED = -1e4
LEAST_LENGTH = 1e-6


class WordEncoder(nn.Module):
    """A convolution over word vectors, pooled by mean and attention, beside a bag of words in D topics.

    The convolution is as in Taghipour & Ng (2016), the attention as in Dong, Zhang & Yang (2017). The bag is the sum of
    words' vectors times their rarity over the length of these; it learns fast, as each word goes into it directly.

    Args:
        words: rows of the table of words, padding and unknown included.
        width: E.
        filters: C.
        topics: D.
        word_dropout: share of the words that are replaced by `unknown` in training.
        vector_dropout: share of the numbers of words' vectors that are zeroed in training.
        dropout: likewise of the pooled patterns'.
        topic_dropout: likewise of the topics'.
    """

    rarity_V: Tensor

    def __init__(
        self,
        *,
        words: int,
        width: int,
        filters: int,
        topics: int,
        word_dropout: float,
        vector_dropout: float,
        dropout: float,
        topic_dropout: float,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=PADDING)
        nn.init.normal_(self.words.weight, std=0.1)
        with torch.no_grad():
            self.words.weight[PADDING] = 0.0
        # A layer over three neighbours side by side: the same numbers as a convolution, and also in double precision.
        self.patterns = nn.Linear(3 * width, filters)
        self.attention = nn.Linear(filters, 1)
        self.norm = nn.LayerNorm(2 * filters)
        self.register_buffer("rarity_V", torch.zeros(words))
        self.topics = nn.Embedding(words, topics, padding_idx=PADDING)
        nn.init.normal_(self.topics.weight, std=0.05)
        with torch.no_grad():
            self.topics.weight[PADDING] = 0.0
        self.word_dropout = word_dropout
        self.vector_dropout = nn.Dropout(vector_dropout)
        self.dropout = nn.Dropout(dropout)
        self.topic_dropout = nn.Dropout(topic_dropout)

    @property
    def width(self) -> int:
        """Size of a text's vector."""
        return 2 * self.patterns.out_features + self.topics.embedding_dim

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return (B, 2 C + D), the topics last."""
        is_word_BT1 = (tokens_BT != PADDING).unsqueeze(-1)
        if self.training and self.word_dropout > 0.0:
            is_hidden_BT = torch.rand(tokens_BT.shape, device=tokens_BT.device) < self.word_dropout
            tokens_BT = torch.where(is_hidden_BT & is_word_BT1.squeeze(-1), UNKNOWN, tokens_BT)
        vectors_BTE = F.pad(self.vector_dropout(self.words(tokens_BT)), (0, 0, 1, 1))
        three = (vectors_BTE[:, :-2], vectors_BTE[:, 1:-1], vectors_BTE[:, 2:])
        found_BTC = torch.relu(self.patterns(torch.cat(three, -1)))
        mean_BC = found_BTC.masked_fill(~is_word_BT1, 0.0).sum(1) / is_word_BT1.sum(1).clamp(min=1)
        weights_BT1 = self.attention(found_BTC).masked_fill(~is_word_BT1, MASKED).softmax(1)
        picked_BC = (weights_BT1 * found_BTC).sum(1)
        patterns_B2C = self.dropout(self.norm(torch.cat([mean_BC, picked_BC], -1)))
        rarity_BT1 = self.rarity_V[tokens_BT].unsqueeze(-1)
        length_B1 = rarity_BT1.square().sum(1).sqrt() + LEAST_LENGTH
        topics_BD = (self.topics(tokens_BT) * rarity_BT1).sum(1) / length_B1
        return torch.cat([patterns_B2C, self.topic_dropout(topics_BD)], -1)

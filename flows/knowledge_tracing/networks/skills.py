"""Embeddings of skill sets: the mean over a step's skills, padding left out.

Shapes: B windows, T steps, K skills, D width.
"""

from torch import Tensor, nn


def skill_shares(skills_BTK: Tensor, like: Tensor) -> Tensor:
    """Return the share (B, T, K) of each skill in its step's set, 0 for padding; of the dtype of `like`."""
    share_BTK = (skills_BTK > 0).to(like.dtype)
    return share_BTK / share_BTK.sum(-1, keepdim=True).clamp(min=1.0)


def mean_embedding(table: nn.Embedding, skills_BTK: Tensor, share_BTK: Tensor) -> Tensor:
    """Return (B, T, D): the embeddings of each step's skills, weighted by their shares."""
    if skills_BTK.shape[-1] == 1:
        return table(skills_BTK[..., 0])  # type: ignore[no-any-return]  # nn.Module calls are untyped
    return (table(skills_BTK) * share_BTK.unsqueeze(-1)).sum(-2)  # type: ignore[no-any-return]

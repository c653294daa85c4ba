"""Training and predicting with the twin: random views, clipping, AdamW and its schedule."""

import math
from itertools import product

import torch
from torch import Tensor

from twin.losses import Samples, loss_terms, total
from twin.network import ByModality, Twin

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, WARMUP = 1e-3, 1e-4, 1.0, 0.1


def random_view(present: ByModality) -> ByModality:
    """Observed frames of one random view: a subset of the modalities, then random frames.

    Any non-empty subset of what a sample has is as likely as any other; each modality's share of
    missing frames is uniform; a sample keeps one frame at least.
    """
    names = sorted(present)
    b, device = len(present[names[0]]), present[names[0]].device
    has_bm = torch.stack([present[m].any(dim=1) for m in names], dim=1)
    kinds = list(product([False, True], repeat=len(names)))[1:]
    subset_sm = torch.tensor(kinds, device=device)
    possible_bs = ~(subset_sm & ~has_bm[:, None]).any(dim=-1)
    # A row that has nothing may draw anything.
    odds_bs = possible_bs.float() + ~possible_bs.any(dim=1, keepdim=True)
    chosen_bm = subset_sm[torch.multinomial(odds_bs, 1)[:, 0]]
    rate_bm = torch.rand(b, len(names), device=device)
    lengths = [present[m].shape[1] for m in names]
    chance_bt = torch.rand(b, sum(lengths), device=device)
    candidate_bt = torch.cat(
        [present[m] & chosen_bm[:, i, None] for i, m in enumerate(names)], dim=1
    )
    lengths_m = torch.tensor(lengths, device=device)
    rate_bt = rate_bm.repeat_interleave(lengths_m, dim=1, output_size=sum(lengths))
    observed_bt = candidate_bt & (chance_bt >= rate_bt)
    last_b = torch.where(candidate_bt, chance_bt, -1).argmax(dim=1)
    kept_bt = torch.zeros_like(observed_bt).scatter_(1, last_b[:, None], True)
    empty_b1 = ~observed_bt.any(dim=1, keepdim=True)
    observed_bt = observed_bt | (kept_bt & empty_b1 & candidate_bt)
    return dict(zip(names, observed_bt.split(lengths, dim=1), strict=True))


def rate(step: int, steps: int) -> float:
    """The learning rate at a step from 0: linear warm-up, then a cosine to 0."""
    warm = min(round(WARMUP * steps), steps - 1)
    if step < warm:
        return LEARNING_RATE * step / warm
    return LEARNING_RATE * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


class Trainer:
    """One run: a network, its optimizer and the number of the step."""

    def __init__(self, twin: Twin, steps: int, *, compiled: bool = False) -> None:
        self.twin, self.steps, self.step = twin, steps, 0
        self.optimizer = torch.optim.AdamW(
            twin.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        # Masks, network and loss as one graph, which is where a compiler can do most.
        self.objective = torch.compile(self._objective) if compiled else self._objective

    def _objective(self, samples: Samples) -> Tensor:
        views = [random_view(samples.present) for _ in range(2)]
        return total(loss_terms(self.twin, samples, views))

    def train_step(self, samples: Samples) -> Tensor:
        """One optimizer step on two random views; gives the loss, still on the device."""
        self.twin.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(samples)
        loss.backward()
        self.update()
        return loss.detach()

    def update(self) -> None:
        """Clip the gradient that the parameters hold, and take an optimizer step."""
        torch.nn.utils.clip_grad_norm_(self.twin.parameters(), CLIP_NORM)
        self.optimizer.param_groups[0]["lr"] = rate(self.step, self.steps)
        self.optimizer.step()
        self.step += 1

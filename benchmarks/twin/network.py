"""The network of FSRF, and the heads that only its losses need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ByModality = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network, by the names and with the defaults of `ModelOptions`."""

    features: Mapping[str, int]
    width: int = 40
    heads: int = 4
    encoder_layers: int = 1
    fusion_layers: int = 1
    expansion: int = 2
    kernel: int = 3
    dropout: float = 0.1


class Factors(NamedTuple):
    """What the network makes of k views: [m, k * b, d] each, but where stated."""

    available: Tensor  # [m, k * b]
    homogeneous: Tensor
    heterogeneous: Tensor
    noise: Tensor
    fused: Tensor  # [k * b, d]
    raw: Tensor  # [k * b, 1]


class Block(nn.Module):
    """Pre-norm Transformer block."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        d = sizes.width
        self.heads, self.dropout = sizes.heads, sizes.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, sizes.expansion * d), nn.Linear(sizes.expansion * d, d)

    def forward(self, x_btd: Tensor, mask_bt: Tensor | None) -> Tensor:
        """Mix the positions of x; those where the mask is False are not attended to."""
        b, t, d = x_btd.shape
        qkv = self.qkv(self.norm_1(x_btd)).view(b, t, 3, self.heads, d // self.heads)
        q_bhtc, k_bhtc, v_bhtc = qkv.permute(2, 0, 3, 1, 4)
        mask = None if mask_bt is None else mask_bt[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(q_bhtc, k_bhtc, v_bhtc, attn_mask=mask)
        mixed_btd = self.out(mixed.transpose(1, 2).reshape(b, t, d))
        x_btd = x_btd + functional.dropout(mixed_btd, self.dropout, self.training)
        hidden = functional.gelu(self.up(self.norm_2(x_btd)), approximate="tanh")
        return x_btd + functional.dropout(self.down(hidden), self.dropout, self.training)


class Encoder(nn.Module):
    """One modality's frames become one vector."""

    def __init__(self, sizes: Sizes, features: int) -> None:
        super().__init__()
        self.dropout = sizes.dropout
        self.frames = nn.Conv1d(features, sizes.width, sizes.kernel, padding="same")
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.encoder_layers))
        self.norm = nn.LayerNorm(sizes.width, eps=1e-6)

    def forward(self, x_btf: Tensor, observed_bt: Tensor) -> tuple[Tensor, Tensor]:
        """Z [b, d], 0 where nothing is observed, and the availability [b]."""
        available_b = observed_bt.any(dim=1)
        # A row without a frame attends everywhere, so that it is finite; it is zeroed below.
        mask_bt = observed_bt | ~available_b[:, None]
        visible_btf = x_btf.masked_fill(~observed_bt[..., None], 0)
        h_btd = self.frames(visible_btf.transpose(1, 2)).transpose(1, 2)
        h_btd = h_btd + positions(h_btd.shape[1], h_btd.shape[2], h_btd.device)
        h_btd = functional.dropout(h_btd, self.dropout, self.training)
        for block in self.blocks:
            h_btd = block(h_btd, mask_bt)
        weight_bt = observed_bt.to(h_btd.dtype)
        total_bd = torch.bmm(weight_bt[:, None], self.norm(h_btd))[:, 0]
        count_b1 = weight_bt.sum(dim=1, keepdim=True).clamp(min=1)
        return total_bd / count_b1, available_b.to(h_btd.dtype)


class Perceptron(nn.Module):
    """Two layers with GELU and dropout between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.up, self.down = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[.., inputs] to [.., outputs]."""
        hidden = functional.gelu(self.up(x), approximate="tanh")
        return self.down(functional.dropout(hidden, self.dropout, self.training))


class Perceptrons(nn.Module):
    """One `Perceptron` for each of m modalities, as batched matrix products."""

    def __init__(
        self, m: int, inputs: int, hidden: int, outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.up = nn.Parameter(torch.randn(m, inputs, hidden) * inputs**-0.5)
        self.up_bias = nn.Parameter(torch.zeros(m, hidden))
        self.down = nn.Parameter(torch.randn(m, hidden, outputs) * hidden**-0.5)
        self.down_bias = nn.Parameter(torch.zeros(m, outputs))

    def forward(self, x_mbd: Tensor) -> Tensor:
        """[m, b, inputs] to [m, b, outputs]."""
        hidden = torch.baddbmm(self.up_bias[:, None], x_mbd, self.up)
        hidden = functional.gelu(hidden, approximate="tanh")
        hidden = functional.dropout(hidden, self.dropout, self.training)
        return torch.baddbmm(self.down_bias[:, None], hidden, self.down)


class Fusion(nn.Module):
    """A class token gathers from the codes, with `[missing]` tokens in their gaps."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        slots, d = 2 * len(sizes.features), sizes.width
        self.token = nn.Parameter(torch.randn(d) * 0.02)
        self.slot = nn.Parameter(torch.randn(slots, d) * 0.02)
        self.missing = nn.Parameter(torch.randn(slots, d) * 0.02)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.fusion_layers))
        self.norm = nn.LayerNorm(d, eps=1e-6)

    def forward(self, h_mbd: Tensor, s_mbd: Tensor, available_mb: Tensor) -> Tensor:
        """F [b, d]."""
        m, b, d = h_mbd.shape
        code_bsd = torch.stack([h_mbd, s_mbd], dim=1).reshape(2 * m, b, d).transpose(0, 1)
        present_bs = available_mb.bool().repeat_interleave(2, dim=0).T
        token_bsd = torch.where(present_bs[..., None], code_bsd, self.missing) + self.slot
        x_bsd = torch.cat([self.token.expand(b, 1, d), token_bsd], dim=1)
        for block in self.blocks:
            x_bsd = block(x_bsd, None)
        return self.norm(x_bsd[:, 0])


class Twin(nn.Module):
    """The forward pass of FSRF for one number, and the heads of its losses."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        m, d = len(sizes.features), sizes.width
        self.names = sorted(sizes.features)
        encoders = {name: Encoder(sizes, sizes.features[name]) for name in self.names}
        self.encoders = nn.ModuleDict(encoders)
        self.homogeneous = Perceptron(d, 2 * d, d, sizes.dropout)
        self.heterogeneous = Perceptrons(m, d, 2 * d, d, sizes.dropout)
        self.noise = Perceptrons(m, d, 2 * d, d, sizes.dropout)
        self.fusion = Fusion(sizes)
        self.head = nn.Linear(d, 1)
        self.adversary = Perceptrons(m, d, d, 1)
        self.task_heads = Perceptrons(m, 2 * d, d, 1)
        decoders = {name: Perceptron(3 * d, d, sizes.features[name]) for name in self.names}
        self.decoders = nn.ModuleDict(decoders)

    def forward(self, features: ByModality, observed: ByModality) -> Factors:
        """Features [b, t, f] and observed frames, bool [b, t], of each modality."""
        encoded = [self.encoders[m](features[m], observed[m]) for m in self.names]
        z_mbd, available_mb = (torch.stack(parts) for parts in zip(*encoded, strict=True))
        absent_mb1 = (available_mb == 0)[..., None]
        z_mbd = z_mbd.masked_fill(absent_mb1, 0)
        h_mbd = self.homogeneous(z_mbd).masked_fill(absent_mb1, 0)
        s_mbd = self.heterogeneous(z_mbd).masked_fill(absent_mb1, 0)
        n_mbd = self.noise(z_mbd).masked_fill(absent_mb1, 0)
        f_bd = self.fusion(h_mbd, s_mbd, available_mb)
        return Factors(available_mb, h_mbd, s_mbd, n_mbd, f_bd, self.head(f_bd))

    def predict(self, features: ByModality, observed: ByModality) -> Tensor:
        """Predictions [b]."""
        return self(features, observed).raw[:, 0]


def positions(t: int, d: int, device: torch.device) -> Tensor:
    """Sinusoidal positions [t, d]: sines, then cosines; made once for each shape and device."""
    key = t, d, device
    if key not in _POSITIONS:
        half = d // 2
        rate = torch.exp(torch.arange(half) * (-torch.log(torch.tensor(10_000.0)) / half))
        angle = torch.outer(torch.arange(t, dtype=torch.float32), rate)
        _POSITIONS[key] = torch.cat([angle.sin(), angle.cos()], dim=-1).to(device)
    return _POSITIONS[key]


_POSITIONS: dict[tuple[int, int, torch.device], Tensor] = {}

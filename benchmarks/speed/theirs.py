"""The same programs in PyTorch; of `twin`, eager or by `torch.compile`."""

import torch
from twin.losses import Samples
from twin.network import Sizes, Twin
from twin.training import Trainer

from speed.measure import Program
from speed.shapes import Arrays, index_of


def device() -> torch.device:
    """Where tensors are."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def samples_of(arrays: Arrays) -> Samples:
    """Samples on the device."""
    return Samples(*arrays).map(lambda x: torch.from_numpy(x).to(device()))


def make_twin(width: int, arrays: Arrays) -> Twin:
    """A network for samples of these widths."""
    features = {m: x.shape[-1] for m, x in arrays.features.items()}
    return Twin(Sizes(features, width=width)).to(device())


def training(width: int, arrays: Arrays, batch: int, steps: int, *, compiled: bool) -> Program:
    """A program of some steps."""
    samples = samples_of(arrays)
    index = torch.from_numpy(index_of(len(arrays.labels), batch, steps)).to(device())
    trainer = Trainer(make_twin(width, arrays), 100_000, compiled=compiled)

    def program() -> None:
        for index_b in index:
            loss = trainer.train_step(samples.map(lambda x, i=index_b: x[i]))
        assert torch.isfinite(loss)  # waits for the device

    return program


def predicting(width: int, arrays: Arrays, batch: int, chunks: int, *, compiled: bool) -> Program:
    """A program that predicts some batches."""
    samples, twin = samples_of(arrays), make_twin(width, arrays).eval()
    predict = torch.compile(twin.predict) if compiled else twin.predict

    def program() -> None:
        with torch.inference_mode():
            found = []
            for start in range(0, batch * chunks, batch):
                part = samples.map(lambda x, s=start: x[s : s + batch])
                found.append(predict(part.features, part.present))
            torch.cat(found).cpu()

    return program

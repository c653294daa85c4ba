"""A data set in one table of text."""

from fsrf_jax.data.dataset import Dataset, Split

_HEADER = ("split", "n", "label mean", "label range", "modality", "frames", "width", "valid", "has")


def describe(dataset: Dataset) -> str:
    """One line for each split and modality.

    Columns: samples, mean and range of the label; then padded frames, features, valid frames in
    all, and the share of samples that have at least one.
    """
    rows = [
        _HEADER,
        *(row for name, split in dataset.splits.items() for row in _rows(name, split)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _rows(name: str, split: Split) -> list[tuple[str, ...]]:
    y = split.labels
    head = (name, str(len(split)), f"{y.mean():.3f}", f"[{y.min():g}, {y.max():g}]")
    return [
        (
            *head,
            modality,
            str(x.shape[1]),
            str(x.shape[2]),
            str(int(split.valid[modality].sum())),
            f"{100 * split.valid[modality].any(axis=1).mean():.1f} %",
        )
        for modality, x in split.features.items()
    ]

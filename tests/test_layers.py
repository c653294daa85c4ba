"""Who may import whom: a method knows nothing of files, configs, loops or devices, and so on up."""

import ast
from collections import defaultdict

import pytest
from command_case import ROOT

PACKAGE = ROOT / "fsrf_jax"
PLAIN = ("methods", "models", "losses", "missing")
EXCEPTIONS = {
    # One number: the smallest probability that a label's is rounded to.
    ("losses.task", "data.labels"): {"SMALLEST_PROBABILITY"},
    # Another: the token id that files have for a word that training has not seen.
    ("models.encoder", "data.tokens"): {"UNKNOWN"},
}


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path):
    """(module, name) of everything that a file imports from the package; name is None for all."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "fsrf_jax":
                    yield alias.name.partition(".")[2], None
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            head, _, module = (node.module or "").partition(".")
            if head != "fsrf_jax":
                continue
            for alias in node.names:
                whole = f"{module}.{alias.name}".lstrip(".")
                yield (whole, None) if whole in MODULES else (module, alias.name)


def part_of(module):
    """The package of a module, or the module itself where it stands in none."""
    return module.partition(".")[0]


def edges():
    """What every module imports: {module: {(module, name)}}."""
    return {module: set(imports(path)) for module, path in MODULES.items()}


EDGES = edges()


def between_parts():
    found = defaultdict(set)
    for module, imported in EDGES.items():
        for other, name in imported:
            if name not in EXCEPTIONS.get((module, other), ()):
                found[part_of(module)].add(part_of(other))
    return {part: others - {part} for part, others in found.items()}


PARTS = between_parts()


def test_there_is_something_to_look_at():
    assert {*PLAIN, "training", "evaluation", "experiments", "cli", "config"} <= set(PARTS)
    assert ("methods.method", "Method") in EDGES["training.state"]
    assert ("experiments.folder", None) in EDGES["cli.train"]  # from fsrf_jax.experiments import
    for imported in EDGES.values():
        assert {other for other, _ in imported} <= set(MODULES)


@pytest.mark.parametrize("part", PLAIN)
def test_methods_and_their_bricks_know_nothing_of_what_is_around_them(part):
    around = {"config", "arguments", "training", "experiments", "evaluation", "cli", "inference"}
    assert PARTS[part] & (around | {"data"}) == set()


def test_every_exception_is_needed():
    for (module, other), names in EXCEPTIONS.items():
        assert {name for found, name in EDGES[module] if found == other} == names


def test_training_knows_no_method_by_name_and_no_config():
    concrete = {m for m in MODULES if m.startswith("methods.")} - {"methods.method"}
    assert concrete
    for module, imported in EDGES.items():
        if part_of(module) == "training":
            # `methods` itself imports every method.
            assert {other for other, _ in imported} & (concrete | {"methods"}) == set(), module
    assert "config" not in PARTS["training"]
    assert "config" not in PARTS["inference"]


def test_evaluation_knows_neither_training_nor_experiments():
    assert PARTS["evaluation"] & {"training", "experiments"} == set()


def test_numbers_know_no_words_and_words_measure_nothing():
    """Of the metrics and comparisons, reports know what is in the results, and their names."""
    assert "reporting" not in PARTS["evaluation"]
    around = {"training", "experiments", "inference", "methods", "cli"}
    assert PARTS["reporting"] & around == set()


UNGUARDED = {
    *("np.load", "np.loadtxt", "np.genfromtxt", "np.fromfile", "np.memmap"),
    *("json.load", "json.loads", "yaml.load", "yaml.safe_load", "csv.reader", "csv.DictReader"),
    *("safetensors.numpy.load", "safetensors.numpy.load_file", "safetensors.safe_open"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "h5py.File", "zipfile.ZipFile"),
}


def test_what_a_user_gives_is_read_by_the_guarded_loaders_alone():
    assert PARTS["reading"] == {"errors"}
    found = {
        (module, ast.unparse(node.func))
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in UNGUARDED
    }
    assert {module for module, _ in found} == {
        *(f"reading.{name}" for name in ("hdf5", "npz", "tensors", "text")),
        *("data.store", "reporting.prediction_files"),  # which write
        "reporting.published",  # a file of the package
    }


def test_nobody_imports_commands():
    assert {part for part, others in PARTS.items() if "cli" in others} == set()


def circle(graph):
    """A path from a node back to itself; None where there is none."""
    done = set()

    def search(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for other in sorted(graph.get(node, ())):
            found = search(other, [*path, node])
            if found:
                return found
        done.add(node)
        return None

    return next((found for node in sorted(graph) if (found := search(node, []))), None)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_no_packages_import_each_other_in_a_circle():
    assert circle(PARTS) is None


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: {other for other, _ in imported} for module, imported in EDGES.items()}
    # A package's __init__ gathers its modules; they do not import it.
    assert circle(graph) is None

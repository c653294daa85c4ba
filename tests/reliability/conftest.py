"""The run that no trial disturbs."""

import pytest
from command_case import call
from trials import RUN


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = call("train", *RUN, "--output.directory", folder)
    assert done.status == 0, done.err
    return folder

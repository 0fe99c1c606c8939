"""Node and the certified provider, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.real_parts import (
    CertifiedProvider,
    TokenPackages,
    Workshop,
    certified_provider,
    make_workshop,
    token_packages,
)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def packages(workshop: Workshop) -> Iterator[TokenPackages]:
    with token_packages(workshop) as running:
        yield running


@pytest.fixture(scope="session")
def op(workshop: Workshop) -> Iterator[CertifiedProvider]:
    with certified_provider(workshop) as running:
        yield running

"""Metrics: each registry stands alone and says what runs."""

from prometheus_client import REGISTRY, generate_latest

from runtime.metrics import new_registry


def test_a_registry_knows_its_build_and_shares_nothing() -> None:
    hub, node = new_registry("hub", "1.2.3"), new_registry("node", "1.2.3")
    text = generate_latest(hub).decode()
    assert 'wasl_build_info{component="hub",python="3' in text
    assert 'version="1.2.3"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert 'component="node"' not in text
    assert 'component="node"' in generate_latest(node).decode()
    assert "wasl_build_info" not in generate_latest(REGISTRY).decode()

"""Wires what stands between the wire and the handlers: the security layers, compression, answers kept ready."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from service.infra.redis.cache_version import Generation
from service.infra.redis.response_cache import Cache
from service.infra.stores import Stores
from service.runtime import Runtime
from service.web.audit.log import AuditLog
from service.web.http.compress import Codecs, build_codecs
from service.web.http.ready import ReadyReplies
from service.web.security.credentials import CredentialReaders
from service.web.security.layers import Layers
from service.web.security.metrics import SecurityMetrics


@dataclass(frozen=True, slots=True)
class WebDomain:
    layers: Layers
    registry: CollectorRegistry
    codecs: Codecs
    cache: Cache
    ready: ReadyReplies


def wire(runtime: Runtime, stores: Stores, readers: CredentialReaders, audit_log: AuditLog) -> WebDomain:
    clock, ids, config, registry = runtime.clock, runtime.ids, runtime.config, CollectorRegistry()
    layers = Layers(config, clock, ids, readers, audit_log, SecurityMetrics(registry))
    version = Generation(stores.redis, clock, ids, config, known_version=lambda: layers.gate.generation)
    codecs, cache = build_codecs(), Cache(stores.redis, version, clock, config)
    return WebDomain(layers, registry, codecs, cache, ReadyReplies(cache, codecs))

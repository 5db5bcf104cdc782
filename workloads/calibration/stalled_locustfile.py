"""The closed-loop half of the stalled-server demonstration: users that each mean to call ten times a second."""

import os
from typing import Any

import gevent
from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

from workloads.drivers.locust.rows import LocustRows
from workloads.drivers.locust.setup import setup_from_environment
from workloads.model import outcomes


class Caller(FastHttpUser):
    wait_time = constant_throughput(float(os.environ.get("HOLDFAST_CALLS_PER_USER", "10")))

    @task
    def call(self) -> None:
        with self.client.get("/", name="root", catch_response=True, context={}) as response:
            response.request_meta["context"]["outcome"] = outcomes.classify("root", response.status_code or 0, b"")


@events.init.add_listener
def on_init(environment: Environment, **_: Any) -> None:
    LocustRows(environment, setup_from_environment())


# Timers set against the loop's idea of now from before these imports would fire too early.
gevent.get_hub().loop.update_now()

"""Owns the locust users. They carry out the shopper model over HTTP, closed loop: who waits sends nothing more.

`holdfast load SCENARIO` starts this in a process of its own, since importing locust patches the whole interpreter. By
hand: `locust -f workloads/drivers/locust/locustfile.py --host URL`, with its web UI, and `--worker` on as many machines
as needed."""

import itertools
import json
import os
import random
from typing import Any, ClassVar
from uuid import uuid4

import gevent
from locust import FastHttpUser, LoadTestShape, events, runners, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from workloads.client import api
from workloads.client.accounts import PASSWORD, email_of
from workloads.client.exchange import Request
from workloads.client.recorder import FLUSH_SECONDS
from workloads.client.shop_http import READ_ROUTES, Customer, Heard, perform
from workloads.drivers.locust.rows import LocustRows
from workloads.drivers.locust.setup import SETUP_VARIABLE, LoadSetup, read_catalogue, setup_from_environment
from workloads.drivers.locust.shapes import SCENARIOS
from workloads.drivers.parent_death_signal import end_with_parent
from workloads.model import outcomes
from workloads.model.actions import Action, Reply, Wait, WalkAway
from workloads.model.shoppers import Shop, Visit, flash_buyer, shopper, staff_member

SETUP_MESSAGE = "holdfast_setup"
TIMEOUT_SECONDS = 30.0
IDLE_SECONDS = 60.0
# Locust gives a worker up after three silent seconds; on a machine shared with the server that is a busy moment.
runners.HEARTBEAT_LIVENESS = 20
runners.WORKER_REPORT_INTERVAL = FLUSH_SECONDS


class Knowledge:
    """What the users of this process know; filled when the test starts."""

    setup: ClassVar[LoadSetup] = setup_from_environment()
    shop: ClassVar[Shop | None] = None
    worker_index: ClassVar[int] = 0
    workers: ClassVar[int] = 1
    numbers: ClassVar[Any] = itertools.count()

    @classmethod
    def learn(cls, setup: LoadSetup) -> None:
        cls.setup, cls.shop = setup, Shop(setup.skus) if setup.skus else None


class Visitor(FastHttpUser):
    """Does what the shopper model intends, one visit after another."""

    abstract = True
    network_timeout = TIMEOUT_SECONDS
    connection_timeout = TIMEOUT_SECONDS

    def on_start(self) -> None:
        self.number = next(Knowledge.numbers) * Knowledge.workers + Knowledge.worker_index
        self.random = random.Random(f"{Knowledge.setup.seed}:{type(self).__name__}:{self.number}")
        self.session = self.sign_in()
        self.customer = Customer(self.session["accessToken"], Knowledge.setup.slugs, uuid4().hex)

    def sign_in(self) -> dict[str, str]:
        """One of the prepared accounts; a new one where none was prepared."""
        prepared = Knowledge.setup.sessions
        if prepared:
            own: dict[str, str] = prepared[self.number % len(prepared)]
            return own
        name = f"locust-{uuid4().hex[:12]}"
        request = api.register(email_of(name), PASSWORD, name)
        with self.client.request(request.method, request.path, **_options(request)) as response:
            if response.status_code != 201:
                raise StopUser()
            session: dict[str, str] = json.loads(response.content)
            return session

    def intended(self) -> Visit:
        """What it came for: each kind of shopper says so for itself."""
        raise NotImplementedError

    @task
    def visit(self) -> None:
        visit = self.intended()
        try:
            action = next(visit)
            while True:
                action = visit.send(self.carry_out(action))
        except StopIteration:
            return

    def carry_out(self, action: Action) -> Reply:
        match action:
            case Wait(seconds):
                gevent.sleep(seconds * Knowledge.setup.think_scale)
            case WalkAway():
                pass
            case _:
                return self.perform(action)
        return Reply()

    def perform(self, action: Action) -> Reply:
        requests = perform(action, self.customer)
        try:
            request = next(requests)
            while True:
                request = requests.send(self.send(request))
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    def send(self, request: Request) -> Heard:
        with self.client.request(request.method, request.path, **_options(request)) as response:
            body = response.content or b""
            outcome = outcomes.classify(request.route, response.status_code or 0, body)
            if response.status_code:
                response.request_meta["context"]["outcome"] = outcome
                # An expected refusal is a success of its own kind.
                response.failure(outcome) if outcome in outcomes.FAILURES else response.success()
        if response.status_code == 401:
            self.renew()
        parse = request.route in READ_ROUTES or outcome == outcomes.OUT_OF_STOCK
        return Heard(outcome, json.loads(body) if parse and body else {})

    def renew(self) -> None:
        """The access token has run out, or its session is gone: the next request goes with a new one."""
        request = api.refresh(self.session.get("refreshToken", ""))
        with self.client.request(request.method, request.path, **_options(request)) as response:
            if response.status_code != 200:
                raise StopUser()
            self.session = json.loads(response.content)
        self.customer.token = self.session["accessToken"]


class Shopper(Visitor):
    weight = 20

    def intended(self) -> Visit:
        return shopper(self.random, _shop())


class FlashBuyer(Visitor):
    weight = 80

    def intended(self) -> Visit:
        return flash_buyer(self.random, _shop(), Knowledge.setup.hot_sku or _shop().skus[0])


class Staff(Visitor):
    """Has nothing to do where locust was started by hand: staff are made by the operator's command line only."""

    fixed_count = 1

    def sign_in(self) -> dict[str, str]:
        return Knowledge.setup.staff or {"accessToken": ""}

    def intended(self) -> Visit:
        if self.session["accessToken"]:
            yield from staff_member(self.random, _shop())
        else:
            yield Wait(IDLE_SECONDS)


def _shop() -> Shop:
    assert Knowledge.shop is not None, "the test has started"
    return Knowledge.shop


def _options(request: Request) -> dict[str, Any]:
    return {
        "name": request.route,
        "data": request.body,
        "headers": dict(request.headers or {}),
        "catch_response": True,
        "context": {},
    }


if Knowledge.setup.run_seconds and Knowledge.setup.scenario in SCENARIOS:

    class ScenarioShape(LoadTestShape):
        """Only where `holdfast load` said how long; by hand, users are set in locust's own web UI."""

        def tick(self) -> tuple[int, float] | None:
            setup = Knowledge.setup
            return SCENARIOS[setup.scenario].users_at(self.get_run_time(), setup.run_seconds, setup.users)


@events.init.add_listener
def on_init(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        if os.environ.get(SETUP_VARIABLE):  # forked by our own locust, not started by hand on another machine
            end_with_parent()
        runner.register_message(SETUP_MESSAGE, lambda environment, msg, **_: _on_setup(runner, msg.data))
    LocustRows(environment, Knowledge.setup)


@events.test_start.add_listener
def on_test_start(environment: Environment, **_: Any) -> None:
    """The master (or the only process) learns what is sold, and tells its workers before it starts their users."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    setup = Knowledge.setup
    if not setup.skus:
        skus, slugs = read_catalogue(str(environment.host))
        setup = LoadSetup.from_dict({**setup.as_dict(), "skus": skus, "slugs": slugs})
    Knowledge.learn(setup)
    if isinstance(runner, MasterRunner):
        for index, worker in enumerate(runner.clients):
            message = {"setup": setup.as_dict(), "index": index, "workers": len(runner.clients)}
            runner.send_message(SETUP_MESSAGE, message, client_id=worker)
    else:
        assert isinstance(runner, LocalRunner), "locust runs alone, as a master or as a worker"


def _on_setup(runner: WorkerRunner, message: dict[str, Any]) -> None:
    Knowledge.learn(LoadSetup.from_dict(message["setup"]))
    Knowledge.worker_index, Knowledge.workers = message["index"], message["workers"]


# Timers set against the loop's idea of now from before these imports would fire too early on a busy machine.
gevent.get_hub().loop.update_now()

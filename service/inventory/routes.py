"""/api/inventory: what is there, what changes it, and what changed it."""

from sanic import Blueprint, Request

from service.clock import Clock
from service.config import Config
from service.inventory.import_routes import import_routes, stock_file
from service.inventory.models import (
    BelowReserved,
    Counted,
    CountedSince,
    KeyReused,
    Line,
    Reference,
    StockLimit,
    UnknownReason,
    UnknownSku,
    UnknownVersion,
)
from service.inventory.schemas import (
    AdjustBody,
    AvailabilityQuery,
    AvailabilityReply,
    CountBody,
    HistoryReply,
    InventoryReply,
    LowStockReply,
    MovementsQuery,
    PageQuery,
    ReasonsReply,
    ReceiveBody,
    ReceiveReply,
    ReferenceBody,
    StockQuery,
    StreamQuery,
    ThresholdBody,
    availability_view,
    inventory_view,
    movement_view,
)
from service.inventory.usecases import REASONS, Changed, Inventory
from service.messaging.sse_feed import SseBroadcaster, parse_id
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, EventStream, Nothing, Reply, operation
from service.web.http.rows import CSV, JSON_LINES

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def routes(inventory: Inventory, clock: Clock, config: Config) -> Blueprint:
    blueprint = Blueprint("inventory", url_prefix="/api/inventory")
    _lists(blueprint, inventory)
    import_routes(blueprint, inventory, clock, config)

    @operation(
        blueprint,
        "GET",
        "/availability",
        "What can be bought of up to 100 SKUs",
        takes=AvailabilityQuery,
        returns={200: AvailabilityReply},
        access=Access.PUBLIC,
        limit="read",
    )
    async def availability(call: Call[AvailabilityQuery]) -> Reply:
        """For each SKU what is left to buy and whether to offer it (`add_to_cart`) or to offer a notice (`notify_me`).
        Unknown SKUs are answered as sold out."""
        stock = await inventory.availability(dict.fromkeys(call.taken.sku))
        return Reply(200, AvailabilityReply(items=[availability_view(found) for found in stock.values()]))

    @operation(
        blueprint,
        "GET",
        "/low-stock",
        "SKUs at or under their threshold, by SKU",
        takes=PageQuery,
        returns={200: LowStockReply},
        access=Access.STAFF,
        scope="stock:read",
    )
    async def low_stock(call: Call[PageQuery]) -> Reply:
        """What should be reordered, with everything that is on hand and reserved."""
        after = "" if call.taken.cursor is None else cursor.decode(call.taken.cursor, str)
        page = await inventory.low_stock(after, call.taken.limit)
        next_cursor = None if page.next_sku is None else cursor.encode(page.next_sku)
        return Reply(200, LowStockReply(items=[inventory_view(stock) for stock in page.items], next_cursor=next_cursor))

    @operation(
        blueprint,
        "POST",
        "/receive",
        "Goods in: all lines or none",
        takes=ReceiveBody,
        returns={200: ReceiveReply},
        access=Access.STAFF,
        scope="stock:write",
        errors=(UnknownSku, UnknownReason, StockLimit, KeyReused),
        idempotent=True,
    )
    async def receive(call: Call[ReceiveBody]) -> Reply:
        """Adds to what is on hand. Send an `Idempotency-Key`: a delivery whose answer was lost is then counted once
        however often it is sent."""
        taken = call.taken
        lines = [Line(goods.sku, goods.quantity) for goods in taken.lines]
        changed = await inventory.receive(
            lines, call.user.user_id, taken.reason, call.idempotency_key(clock, config), _named(taken.reference)
        )
        body = ReceiveReply(items=[inventory_view(stock) for stock in changed.items])
        return Reply(200, body, _replayed(changed))

    @operation(
        blueprint,
        "GET",
        "/<sku:str>",
        "One SKU's stock",
        returns={200: InventoryReply},
        access=Access.STAFF,
        scope="stock:read",
        errors=(UnknownSku,),
    )
    async def stock(call: Call[Nothing], sku: str) -> Reply:
        """`available` is `onHand` less `reserved`; `version` grows with every movement."""
        return Reply(200, inventory_view(await inventory.get(sku)))

    @operation(
        blueprint,
        "POST",
        "/<sku:str>/adjust",
        "Correct what is on hand, never below what is reserved",
        takes=AdjustBody,
        returns={200: InventoryReply},
        access=Access.STAFF,
        scope="stock:write",
        errors=(UnknownSku, UnknownReason, BelowReserved, StockLimit, KeyReused),
        idempotent=True,
    )
    async def adjust(call: Call[AdjustBody], sku: str) -> Reply:
        """`delta` is added, a negative one taken away; 409 `below_reserved` if holds would lose their stock. The reason
        is kept in the history."""
        taken = call.taken
        changed = await inventory.adjust(
            sku,
            taken.delta,
            taken.reason,
            call.user.user_id,
            call.idempotency_key(clock, config),
            _named(taken.reference),
        )
        return Reply(200, inventory_view(changed.items[0]), _replayed(changed))

    @operation(
        blueprint,
        "PUT",
        "/<sku:str>/count",
        "Set what is on hand to what was counted, although sales went on meanwhile",
        takes=CountBody,
        returns={200: InventoryReply},
        access=Access.STAFF,
        scope="stock:write",
        errors=(UnknownSku, UnknownReason, BelowReserved, CountedSince, UnknownVersion, StockLimit, KeyReused),
        idempotent=True,
    )
    async def count(call: Call[CountBody], sku: str) -> Reply:
        """Read the SKU, note its `version`, count, and send both. What left or joined the shelf after that version
        stays as it was booked: only the difference at that moment is corrected. 409 `below_reserved` if holds would
        lose their stock, `counted_since` if somebody counted it after that version."""
        taken = call.taken
        counted = Counted(sku, taken.counted, taken.counted_at_seq)
        changed = await inventory.count(
            counted, taken.reason, call.user.user_id, call.idempotency_key(clock, config), _named(taken.reference)
        )
        return Reply(200, inventory_view(changed.items[0]), _replayed(changed))

    @operation(
        blueprint,
        "PUT",
        "/<sku:str>/threshold",
        "Set from when on the SKU counts as low",
        takes=ThresholdBody,
        returns={200: InventoryReply},
        access=Access.STAFF,
        scope="stock:write",
        errors=(UnknownSku,),
    )
    async def threshold(call: Call[ThresholdBody], sku: str) -> Reply:
        """At or below it the SKU is low and raises an alert; at 0 only being sold out counts."""
        changed = await inventory.set_threshold(sku, call.taken.low_stock_threshold, call.user.user_id)
        return Reply(200, inventory_view(changed))

    @operation(
        blueprint,
        "GET",
        "/<sku:str>/history",
        "The SKU's ledger, newest first",
        takes=PageQuery,
        returns={200: HistoryReply},
        access=Access.STAFF,
        scope="stock:read",
        errors=(UnknownSku,),
    )
    async def history(call: Call[PageQuery], sku: str) -> Reply:
        """Every movement ever, with who caused it, why, and the stock after it. Entries are never changed."""
        before = None if call.taken.cursor is None else cursor.decode(call.taken.cursor, int)
        found = await inventory.history(sku, before, call.taken.limit + 1)
        page = found[: call.taken.limit]
        next_cursor = cursor.encode(page[-1].seq) if len(found) > len(page) else None
        return Reply(200, HistoryReply(items=[movement_view(entry) for entry in page], next_cursor=next_cursor))

    return blueprint


def _lists(blueprint: Blueprint, inventory: Inventory) -> None:
    @operation(
        blueprint,
        "GET",
        "/",
        "All stock, by SKU",
        takes=StockQuery,
        returns={200: LowStockReply},
        access=Access.STAFF,
        scope="stock:read",
        also_as=(CSV, JSON_LINES),
    )
    async def listed(call: Call[StockQuery]) -> Reply:
        """Filters combine: how the SKU begins, whether it is low, on sale, and whether any is left. As `csv` or `jsonl`
        it is a file of everything from there on, which the import takes back: `onHand` counted at `version`."""
        after = "" if call.taken.cursor is None else cursor.decode(call.taken.cursor, str)
        if call.taken.format != "json":
            return stock_file(inventory.exported(call.taken.filters(), after), call.taken.format)
        page = await inventory.listed(call.taken.filters(), after, call.taken.limit)
        next_cursor = None if page.next_sku is None else cursor.encode(page.next_sku)
        return Reply(200, LowStockReply(items=[inventory_view(stock) for stock in page.items], next_cursor=next_cursor))

    @operation(
        blueprint,
        "GET",
        "/reasons",
        "The reasons a movement may give",
        returns={200: ReasonsReply},
        access=Access.STAFF,
        scope="stock:read",
    )
    async def reasons(call: Call[Nothing]) -> Reply:
        """Suggestions, until the shop has a list of its own (`HOLDFAST_STOCK_REASONS`): then nothing else is taken."""
        own = inventory.reasons
        return Reply(200, ReasonsReply(items=list(own or REASONS), only=bool(own)))

    @operation(
        blueprint,
        "GET",
        "/movements",
        "The movements of one document, by SKU and age",
        takes=MovementsQuery,
        returns={200: HistoryReply},
        access=Access.STAFF,
        scope="stock:read",
    )
    async def movements(call: Call[MovementsQuery]) -> Reply:
        """What a delivery note, an order or a return has moved: those that named it as their `reference`."""
        taken = call.taken
        after = "" if taken.cursor is None else cursor.decode(taken.cursor, str)
        reference = Reference(taken.reference_kind, taken.reference_id)
        page, last = await inventory.referring(reference, after, taken.limit)
        next_cursor = None if last is None else cursor.encode(last)
        return Reply(200, HistoryReply(items=[movement_view(entry) for entry in page], next_cursor=next_cursor))


def stream_routes(feed: SseBroadcaster) -> Blueprint:
    blueprint = Blueprint("stock_stream", url_prefix="/api/inventory")

    @operation(
        blueprint,
        "GET",
        "/stream",
        "Server-Sent Events: a `snapshot`, then a `stock` event whenever one of the SKUs changes",
        takes=StreamQuery,
        returns={200: EventStream},
        access=Access.PUBLIC,
        limit="stream",
        compress=False,
    )
    async def stream(call: Call[StreamQuery]) -> Reply:
        """Open it with `EventSource`. It begins with the state of every SKU asked for; afterwards each change is one
        event, and comments keep the line open. After a break the browser sends `Last-Event-ID` and misses nothing that
        is still kept."""

        async def send(request: Request) -> None:
            after = parse_id(request.headers.get("last-event-id"))
            client = getattr(request.ctx, "client", "")
            async with feed.listen(dict.fromkeys(call.taken.sku), after, client) as listener:
                response = await request.respond(content_type="text/event-stream", headers=STREAM_HEADERS)
                async for frames in listener.frames():
                    await response.send(frames)
                await response.eof()

        return Reply(200, stream=send)

    @blueprint.after_server_start
    async def start(_: object) -> None:
        feed.start()

    @blueprint.before_server_stop
    async def stop(_: object) -> None:
        await feed.close()

    return blueprint


def _named(reference: ReferenceBody | None) -> Reference | None:
    return None if reference is None else reference.named()


def _replayed(changed: Changed) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if changed.replayed else {}

"""Failed log-ins, counted in Redis so that guessing gets slower and slower, and nobody locks somebody else out.

An attempt is counted before its password is checked, so that a burst of guesses gets no more tries than a slow one. A
stranger's attempt counts for its address and, far more generously, for the account. A device with a cookie of an
earlier login, or an address with one, counts for itself alone and never waits for what strangers did (ASVS 6.1.1)."""

import hmac
from datetime import datetime
from typing import Any

from service.auth.devices import Devices
from service.auth.models import Device, LockRule
from service.clock import Clock
from service.config import Config

FAILURES_PREFIX, FAILURES, KNOWN_PREFIX = "failures:", "failures", "known:"
MARK_HEX_DIGITS = 16

ATTEMPT = """
local now, longest, counted = tonumber(ARGV[1]), 0, 2
if ARGV[4] == 'known' or redis.call('ZSCORE', KEYS[3], ARGV[5]) then counted = 1 end
for i = 1, counted do
  local wait = tonumber(redis.call('HGET', KEYS[i], 'until') or 0) - now
  if wait > longest then longest = wait end
end
if longest > 0 then return longest end
for i = 1, counted do
  local key, rule = KEYS[i], 3 + 3 * i
  local free, delay, most = tonumber(ARGV[rule]), tonumber(ARGV[rule + 1]), tonumber(ARGV[rule + 2])
  local failures = redis.call('HINCRBY', key, 'count', 1)
  if failures > free then
    local wait = math.min(delay * 2 ^ math.min(failures - free - 1, 30), most)
    redis.call('HSET', key, 'until', string.format('%.0f', now + wait))
  end
  redis.call('PEXPIRE', key, ARGV[2])
  redis.call('ZADD', KEYS[4], now, key)
end
local beyond = redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[3])
if beyond > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[4], beyond)
  for i = 1, #oldest, 2 do redis.call('DEL', oldest[i]) end
end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
return 0
"""

SUCCEEDED = """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[4], KEYS[1], KEYS[2])
redis.call('ZADD', KEYS[3], ARGV[1], ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -tonumber(ARGV[4]) - 1)
redis.call('PEXPIRE', KEYS[3], ARGV[2])
"""


class LoginAttempts:
    """`account` is the mark of an account: the same for one that does not exist. At most `login_failures_kept_max`
    counters are kept, those with the latest failures: whoever tries many addresses cannot fill Redis."""

    def __init__(self, redis: Any, devices: Devices, clock: Clock, config: Config) -> None:
        self._redis, self._devices, self._clock, self._config = redis, devices, clock, config
        self._attempt, self._succeeded = redis.register_script(ATTEMPT), redis.register_script(SUCCEEDED)
        self._key = config.key("address of a login")
        self._rules = (
            LockRule(config.login_failures_free, config.login_delay_seconds, config.login_delay_max_seconds),
            LockRule(
                config.login_failures_free_account, config.login_delay_seconds, config.login_delay_max_account_seconds
            ),
        )

    async def begin(self, account: str, device: Device) -> float:
        """Seconds to wait before this attempt may be made; 0 when it may be made now, and is counted."""
        config, known = self._config, "known" if self._devices.nonce(device.cookie, account) else ""
        rules = [n for r in self._rules for n in (r.free, r.delay_seconds * 1_000, r.delay_max_seconds * 1_000)]
        ttl_ms = int(config.login_failures_ttl_seconds * 1_000)
        now_ms, mark = _ms(self._clock.now()), self._mark(account, device.address)
        wait_ms: int = await self._attempt(
            keys=self._keys(account, device),
            args=(now_ms, ttl_ms, config.login_failures_kept_max, known, mark, *rules),
        )
        return wait_ms / 1_000

    async def knows(self, account: str, device: Device) -> bool:
        """Whether this device, or this address, has logged in to the account before."""
        if self._devices.nonce(device.cookie, account):
            return True
        mark = self._mark(account, device.address)
        return await self._redis.zscore(KNOWN_PREFIX + account, mark) is not None

    async def succeeded(self, account: str, device: Device) -> str:
        """Forgets the failures and remembers where from. Returns the device's new cookie."""
        config = self._config
        ttl_ms = int(config.device_cookie_ttl_seconds * 1_000)
        mark = self._mark(account, device.address)
        await self._succeeded(
            keys=self._keys(account, device),
            args=(_ms(self._clock.now()), ttl_ms, mark, config.known_addresses_max),
        )
        return self._devices.remember(device.cookie, account)

    def requester(self, account: str, device: Device) -> str:
        """Names who asks for something about an account, without saying where from."""
        return self._devices.nonce(device.cookie, account) or self._mark(account, device.address)

    async def forget(self, account: str) -> None:
        """Where somebody logged in from, once the account is gone."""
        await self._redis.delete(KNOWN_PREFIX + account, FAILURES_PREFIX + account)

    def _keys(self, account: str, device: Device) -> tuple[str, ...]:
        """The attempt's own counter, the account's, the addresses with a login, the list of all counters."""
        whole = FAILURES_PREFIX + account
        return f"{whole}:{self.requester(account, device)}", whole, KNOWN_PREFIX + account, FAILURES

    def _mark(self, account: str, address: str) -> str:
        return hmac.new(self._key, f"{account}\0{address}".encode(), "sha256").hexdigest()[:MARK_HEX_DIGITS]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)

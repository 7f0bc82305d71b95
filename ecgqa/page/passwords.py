"""Who may come in: names with hashed passwords, and a limit on how often one may try.

A line of the file reads NAME:scrypt$N$R$P$SALT$KEY, salt and key in base64. scrypt (RFC 7914) with
N = 2^14, r = 8, p = 5 (OWASP's password storage cheat sheet) takes 16 MB and a quarter of a second.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COST, BLOCK, PARALLEL = 2**14, 8, 5
MOST_MEMORY = 64 * 2**20  # bytes; a line that asks for more is refused
LONGEST = 1024  # characters of a name or a password
HOW_TO = "python -m ecgqa password NAME"


@dataclass(frozen=True)
class Hashed:
    """A password that cannot be read back."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    key: bytes

    @classmethod
    def of(cls, password: str) -> Hashed:
        """The hash of a password, with a salt of its own."""
        salt = secrets.token_bytes(16)
        return cls(COST, BLOCK, PARALLEL, salt, _scrypt(password, COST, BLOCK, PARALLEL, salt))

    @classmethod
    def parse(cls, text: str) -> Hashed:
        """Read what `str` wrote. Raises ValueError."""
        scheme, *costs, salt, key = text.split("$")
        if scheme != "scrypt":
            raise ValueError("not a scrypt hash")
        cost, block, parallel = (int(number) for number in costs)
        try:
            raw = [base64.b64decode(part, validate=True) for part in (salt, key)]
        except binascii.Error as error:
            raise ValueError(str(error)) from None
        found = cls(cost, block, parallel, *raw)
        if len(found.salt) < 8 or len(found.key) < 16 or not 1 <= parallel <= 16:
            raise ValueError("salt or key is too short")
        found.matches("")  # OpenSSL judges the other costs, now and not at the first log-in
        return found

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes as long for a wrong one as for the right one."""
        tried = _scrypt(password, self.cost, self.block, self.parallel, self.salt, len(self.key))
        return hmac.compare_digest(tried, self.key)

    def __str__(self) -> str:
        salt, key = (base64.b64encode(part).decode("ascii") for part in (self.salt, self.key))
        return f"scrypt${self.cost}${self.block}${self.parallel}${salt}${key}"


def _scrypt(password: str, n: int, r: int, p: int, salt: bytes, length: int = 32) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, dklen=length,
        maxmem=MOST_MEMORY,
    )  # fmt: skip


def line_for(name: str, password: str) -> str:
    """The line of the file that lets `name` in. Raises ValueError in plain words."""
    name = name.strip()
    if not name or ":" in name or not name.isprintable() or len(name) > LONGEST:
        raise ValueError("A name is one line, not empty, and holds no colon.")
    if not password or len(password) > LONGEST:
        raise ValueError(f"A password has 1 to {LONGEST} characters.")
    return f"{name}:{Hashed.of(password)}"


def known_users(file: Path) -> dict[str, Hashed]:
    """Name → hashed password of each line. Raises ValueError, OSError in plain words."""
    users: dict[str, Hashed] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, hashed = (part.strip() for part in line.partition(":"))
        if not name or name in users:
            raise ValueError(f"{file}, line {number}: each line must name somebody, and only once.")
        try:
            users[name] = Hashed.parse(hashed)
        except ValueError:
            raise ValueError(
                f"{file}, line {number}: the password of {name} is not hashed, and plain ones are "
                f"not taken. This prints the line to put there: {HOW_TO}"
            ) from None
    if not users:
        raise ValueError(f"{file} names nobody. This prints a line to put there: {HOW_TO}")
    return users


class TooManyTries(Exception):
    """Somebody tried too often. seconds: until the next try is looked at."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        super().__init__(
            f"Too many log-ins failed. Please wait {self.seconds} seconds and try again."
        )


class Tries:
    """Failed tries of each key (a name, an address) within the last `seconds`, at most `most`."""

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until `key` may try again; 0 where it may now."""
        failed, now = self._failed.get(key, deque()), self.clock()
        while failed and failed[0] <= now - self.seconds:
            failed.popleft()
        return failed[0] + self.seconds - now if len(failed) >= self.most else 0.0

    def failed(self, key: str) -> None:
        """Count a failure."""
        self._failed.setdefault(key, deque(maxlen=self.most)).append(self.clock())
        self._failed.move_to_end(key)
        while len(self._failed) > 10_000:  # guesses at names must not fill the memory
            self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        """The right password was given."""
        self._failed.pop(key, None)


class Doorman:
    """Lets in who knows a password, and makes wait who tries too often.

    users: name → hashed password. by_name, by_address: the limits.
    """

    def __init__(
        self,
        users: dict[str, Hashed],
        by_name: Tries | None = None,
        by_address: Tries | None = None,
    ) -> None:
        self.users = users
        self.by_name = by_name or Tries(5, 60)
        self.by_address = by_address or Tries(20, 60)
        self._nobody = Hashed.of(secrets.token_hex(16))  # an unknown name takes as long
        self._one_at_a_time = asyncio.Semaphore(1)  # guesses leave the other cores alone

    def check(self, name: str, address: str) -> None:
        """Raise TooManyTries where this name or this address must wait."""
        if wait_s := max(self.by_name.wait_s(name), self.by_address.wait_s(address)):
            raise TooManyTries(wait_s)

    async def lets_in(self, name: str, password: str, address: str) -> bool:
        """Whether the password is right. Raises TooManyTries."""
        async with self._one_at_a_time:
            self.check(name, address)
            hashed = self.users.get(name, self._nobody)
            right = await asyncio.to_thread(hashed.matches, password[: LONGEST + 1])
        if right and name in self.users:
            self.by_name.forget(name)
            return True
        self.by_name.failed(name[:LONGEST])
        self.by_address.failed(address)
        return False

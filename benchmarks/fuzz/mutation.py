"""Mutations of seeds: bytes, tokens, numbers, and the members of zips one by one."""

from __future__ import annotations

import io
import random
import zipfile

TOKENS = (
    *(b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"*/", b"\\\n", b"[/red]", b"\x1b[2J", b"<script>", b"${x}", b'"', b"'"),
    *(b"nan", b"-inf", b"1e999", b"9" * 40, b"-1", b"0", b"[" * 30, b"{", b"}", b"&a", b"*a", b"!!python/object:os.x"),
    *(b"\x85R", b"cos\nsystem\n", b"}(", b"u.", b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"2\x86", b"policypress", b"../"),
    *(
        b"??/",
        b"//",
        b"/*",
        b"\\",
        b"\r\n",
        b"\n",
        b"\t",
        b"\\input{x}",
        b"^^5c",
        b"$",
        b"%",
        b"&",
        b"#",
        b"_",
        b"~",
        b"[",
        b"*",
    ),
    *(b"</script>", b"<!--", b"-->", b"]]>", b"&lt;", b"&#60;", b"<", b">", b" onx=1 ", b"{{x}}", b"javascript:x"),
    *(
        b"=1+1",
        b";=1",
        b';"=1',
        b"@x",
        b"+1",
        b"|",
        b"\xef\xbc\x9d1",
        b"'",
        b",",
        b";",
        b": ",
        b"- ",
        b"!!x ",
        b"\xed\xa0\x80",
    ),
    *(
        b"\xe2\x80\xae",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\xc2\x9b31m",
        b"\xc2\xad",
        b"\xef\xbb\xbf",
        b"\x1b]0;x\x07",
        b"\x08",
    ),
    *(
        b"$(x)",
        b"`x`",
        b"-rf",
        b"CON",
        b".",
        b"int x;",
        b'"; int x; //',
        b"\xe5\x90\x8d",
        b"\xf0\x9f\x98\x80",
        b"e\xcc\x81",
    ),
)


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """A neighbour of ``seed``; of a zip mostly one whose members are neighbours."""
    if seed.startswith(b"PK") and rng.random() < 0.8:
        return _member_mutated(seed, rng)
    content = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        _mutate(content, rng)
    return bytes(content)


def _mutate(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content) + 1)
    length = rng.choice((1, 2, 4, 16, 64))
    match rng.randrange(7):
        case 0 if content:
            content[place % len(content)] ^= 1 << rng.randrange(8)
        case 1 if content:
            content[place % len(content)] = rng.randrange(256)
        case 2:
            content[place:place] = rng.choice(TOKENS)
        case 3:
            del content[place : place + length]
        case 4:
            content[place:place] = content[place : place + length] * rng.choice((1, 2, 50))
        case 5:
            source = rng.randrange(len(content) + 1)
            content[place : place + length] = content[source : source + length]
        case _:
            content[place : place + length] = rng.choice(TOKENS)


def _member_mutated(seed: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(seed)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    chosen = rng.choice(list(members))
    if rng.random() < 0.1:
        del members[chosen]
    else:
        members[chosen] = mutated(members[chosen], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()

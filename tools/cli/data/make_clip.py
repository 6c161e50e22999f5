#!/usr/bin/env python3
"""AMR speech file to RTP (RFC 4867, octet-aligned) in an rtpdump file, and back.

    make_clip.py wrap   clip.amr clip.rtpdump
    make_clip.py unwrap clip.rtpdump clip.amr

One frame per packet, 20 ms apart, payload type 97. Needs Python 3 and nothing else.
"""

import struct
import sys

AMR_MAGIC = b"#!AMR\n"
DUMP_LINE = b"#!rtpplay1.0 127.0.0.1/49170\n"
# Octets of speech by frame type (RFC 4867 section 5.3); 8 is comfort noise, 15 is "no data".
FRAME_OCTETS = {0: 12, 1: 13, 2: 15, 3: 17, 4: 19, 5: 20, 6: 26, 7: 31, 8: 5, 15: 0}
PAYLOAD_TYPE = 97
SSRC = 0x5E45E001
NO_MODE_REQUEST = 0xF0
FRAME_MS = 20
FRAME_SAMPLES = 160


def frames(amr):
    """The frames of an AMR file, header octet first."""
    if not amr.startswith(AMR_MAGIC):
        sys.exit("not an AMR narrow-band file")
    at = len(AMR_MAGIC)
    while at < len(amr):
        end = at + 1 + FRAME_OCTETS[amr[at] >> 3 & 0x0F]
        yield amr[at:end]
        at = end


def wrap(amr):
    """RTP packets in an rtpdump file: the first has the marker bit, for it starts a talk spurt."""
    out = bytearray(DUMP_LINE)
    out += struct.pack("!IIIHH", 0, 0, 0x7F000001, 49170, 0)
    for n, frame in enumerate(frames(amr)):
        marker = 0x80 if n == 0 else 0
        header = struct.pack(
            "!BBHII", 0x80, marker | PAYLOAD_TYPE, 1 + n, n * FRAME_SAMPLES, SSRC
        )
        # The frame header of the storage format is the table-of-contents octet with F = 0.
        packet = header + bytes([NO_MODE_REQUEST]) + frame
        out += struct.pack("!HHI", 8 + len(packet), len(packet), n * FRAME_MS) + packet
    return out


def unwrap(dump):
    """The AMR file again."""
    out = bytearray(AMR_MAGIC)
    at = dump.index(b"\n") + 1 + 16
    while at < len(dump):
        length, _, _ = struct.unpack_from("!HHI", dump, at)
        out += dump[at + 8 + 12 + 1 : at + length]
        at += length
    return out


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("wrap", "unwrap"):
        sys.exit(__doc__)
    turn = wrap if sys.argv[1] == "wrap" else unwrap
    with open(sys.argv[2], "rb") as source:
        data = turn(source.read())
    with open(sys.argv[3], "wb") as target:
        target.write(data)


if __name__ == "__main__":
    main()

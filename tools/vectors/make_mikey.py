#!/usr/bin/env python3
"""MIKEY and GBA vectors, made by a second implementation that shares nothing with the library.

Written from RFC 3830, 4563, 4567 and TS 33.220 with hashlib, hmac and an AES block function only.
Run once; the output is checked in:

    pip install cryptography
    python3 tools/vectors/make_mikey.py tests/vectors
"""

import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ENCR, AUTH, SALT = 0x150533E1, 0x2D22AC75, 0x29B88916
T, ID, V, SP, RAND, KEMAC, EXT = 5, 6, 9, 10, 11, 1, 21


def prf(digest, inkey, label, outlen):
    """RFC 3830 4.1.2, RFC 6043 6.1."""
    out = bytes(outlen)
    for start in range(0, len(inkey), 32):
        block, a, stream = inkey[start:start + 32], label, b""
        while len(stream) < outlen:
            a = hmac.new(block, a, digest).digest()
            stream += hmac.new(block, a + label, digest).digest()
        out = bytes(x ^ y for x, y in zip(out, stream))
    return out


def message_keys(key, csb, rand, digest=hashlib.sha1, encr_len=16, auth_len=20):
    """RFC 3830 4.1.4."""
    label = lambda constant: struct.pack(">IBI", constant, 0xFF, csb) + rand
    return (prf(digest, key, label(ENCR), encr_len), prf(digest, key, label(SALT), 14),
            prf(digest, key, label(AUTH), auth_len))


def aes_cm(key, salt, csb, counter, data):
    """RFC 3830 4.2.3; the keystream is built block by block from AES-ECB."""
    iv = bytes(x ^ y for x, y in zip(salt, struct.pack(">HIQ", 0, csb, counter))) + b"\0\0"
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    start, stream = int.from_bytes(iv, "big"), b""
    for n in range(-(-len(data) // 16)):
        stream += aes.update(((start + n) % (1 << 128)).to_bytes(16, "big"))
    return bytes(x ^ y for x, y in zip(data, stream))


def chain(header, payloads):
    """Links payloads: each is (type, octets behind the next-payload octet)."""
    out = bytearray(header)
    link = 2
    for kind, body in payloads:
        out[link] = kind
        link = len(out)
        out += b"\0" + body
    return bytes(out)


def header(data_type, verify, csb, sessions, prf_func=0):
    """RFC 3830 6.1; an empty map where `sessions` is None (RFC 4563 5)."""
    fixed = struct.pack(">BBBBI", 1, data_type, 0, (0x80 if verify else 0) | prf_func, csb)
    if sessions is None:
        return fixed + b"\0\1"
    records = b"".join(struct.pack(">BII", *record) for record in sessions)
    return fixed + bytes([len(sessions), 0]) + records


def ident(kind, text):
    return (ID, struct.pack(">BH", kind, len(text)) + text.encode())


def key_ids(domain, msk_id, mtk_id=None):
    """RFC 4563 4."""
    body = b"\0\3" + domain + b"\1\4" + msk_id
    if mtk_id is not None:
        body += b"\2\2" + struct.pack(">H", mtk_id)
    return (EXT, struct.pack(">BH", 3, len(body)) + body)


def policy(params):
    body = b"".join(bytes([kind, len(value)]) + value for kind, value in params)
    return (SP, struct.pack(">BBH", 0, 0, len(body)) + body)


CM80 = [(0, b"\1"), (1, b"\x10"), (2, b"\1"), (4, b"\x0e"), (5, b"\0"), (6, b"\0"), (7, b"\1"),
        (8, b"\1"), (3, b"\x14"), (11, b"\x0a")]
GCM128 = [(0, b"\6"), (1, b"\x10"), (2, b"\0"), (4, b"\x0c"), (5, b"\0"), (6, b"\0"), (7, b"\1"),
          (8, b"\1"), (20, b"\x10")]


def changed(params, **values):
    """The same policy with other values; `t19=...` is parameter 19."""
    changes = {int(name[1:]): bytes([value]) for name, value in values.items()}
    kept = [(kind, changes.pop(kind, value)) for kind, value in params]
    return kept + list(changes.items())


POLICIES = {
    "AES_CM_128_HMAC_SHA1_80": CM80,
    "AES_CM_128_HMAC_SHA1_32": changed(CM80, t11=4, t19=10),
    "AES_192_CM_HMAC_SHA1_80": changed(CM80, t1=24),
    "AES_256_CM_HMAC_SHA1_32": changed(CM80, t1=32, t11=4, t19=10),
    "NULL_HMAC_SHA1_80": changed(CM80, t0=0, t7=0, t8=0),
    "AEAD_AES_128_GCM": GCM128,
    "AEAD_AES_256_GCM": changed(GCM128, t1=32),
}

# PRF, encryption and MAC: code points, hash, octets of the encryption and the authentication key.
MBMS = (0, 1, 1, hashlib.sha1, 16, 20)
STRONG = (1, 3, 2, hashlib.sha256, 32, 32)


def seal(head, payloads, pre_shared, rand, csb, counter, key_data, suite=MBMS):
    """KEMAC; the MAC covers all before it."""
    _, encr_alg, mac_alg, digest, encr_len, auth_len = suite
    encr, salt, auth = message_keys(pre_shared, csb, rand, digest, encr_len, auth_len)
    kemac = struct.pack(">BH", encr_alg, len(key_data)) + aes_cm(encr, salt, csb, counter, key_data)
    message = chain(head, payloads + [(KEMAC, kemac + bytes([mac_alg]))])
    return message + hmac.new(auth, message, digest).digest()


def msk_message(c, suite=MBMS):
    rand = bytes.fromhex(c["rand"])
    msk = bytes.fromhex(c["msk"])
    key_data = b"\0\x02" + struct.pack(">H", len(msk)) + msk
    key_data += struct.pack(">BHBH", 2, c["seql"], 2, c["sequ"])
    ext = [key_ids(bytes.fromhex(c["domain"]), bytes.fromhex(c["msk_id"]))]
    if c["sdp_ids"]:
        ids = c["sdp_ids"].encode()
        ext.append((EXT, struct.pack(">BH", 1, len(ids)) + ids))
    payloads = ext + [(T, struct.pack(">BI", 2, c["counter"])), (RAND, bytes([len(rand)]) + rand),
                      ident(1, c["idi"]), ident(0, c["idr"]),
                      policy(POLICIES[c["profile"]])]
    head = header(0, c["verify"], c["csb"], [tuple(s) for s in c["sessions"]], suite[0])
    return seal(head, payloads, bytes.fromhex(c["muk"]), rand, c["csb"], c["counter"], key_data, suite)


def solicited_pull(c):
    """TS 33.246 6.3.2.2.4 as mbms-keys K4 reads it: Key Number 0, no key data."""
    rand = bytes.fromhex(c["rand"])
    payloads = [key_ids(bytes.fromhex(c["domain"]), struct.pack(">HH", c["key_group"], 0)),
                (T, struct.pack(">BI", 2, c["counter"])), (RAND, bytes([len(rand)]) + rand),
                ident(1, c["idi"]), ident(0, c["idr"])]
    return seal(header(0, False, 0, None), payloads, bytes.fromhex(c["muk"]), rand, 0, c["counter"], b"")


def mtk_message(c, suite=MBMS):
    pre_shared, rand = bytes.fromhex(c["msk"]), bytes.fromhex(c["rand"])
    mtk, salt = bytes.fromhex(c["mtk"]), bytes.fromhex(c["salt"])
    key_data = bytes([0, 0x30 if salt else 0x20]) + struct.pack(">H", len(mtk)) + mtk
    if salt:
        key_data += struct.pack(">H", len(salt)) + salt
    payloads = [key_ids(bytes.fromhex(c["domain"]), bytes.fromhex(c["msk_id"]), c["mtk_id"]),
                (T, struct.pack(">BI", 2, c["counter"]))]
    head = header(0, False, c["csb"], None, suite[0])
    return seal(head, payloads, pre_shared, rand, c["csb"], c["counter"], key_data, suite)


def verification(c, suite=MBMS):
    """RFC 3830 5.2: the MAC covers the message, IDi, IDr and T."""
    prf_func, _, mac_alg, digest, encr_len, auth_len = suite
    muk, rand = bytes.fromhex(c["muk"]), bytes.fromhex(c["rand"])
    _, _, auth = message_keys(muk, c["csb"], rand, digest, encr_len, auth_len)
    counter = struct.pack(">I", c["counter"])
    head = header(1, False, c["csb"], [tuple(s) for s in c["sessions"]], prf_func)
    message = chain(head, [(T, b"\2" + counter), ident(0, c["idr"]), (V, bytes([mac_alg]))])
    covered = message + c["idi"].encode() + c["idr"].encode() + counter
    return message + hmac.new(auth, covered, digest).digest()


def octets(seed, n):
    """Octets that look random and are the same each time."""
    return hashlib.shake_128(seed.encode()).digest(n).hex()


def mikey():
    msks = []
    for n, (length, profile, csb, sdp_ids) in enumerate([
            (16, "AES_CM_128_HMAC_SHA1_80", 0, None), (32, "AEAD_AES_128_GCM", 0, "mikey"),
            (16, "AES_CM_128_HMAC_SHA1_80", 0xDEADBEEF, None), (21, "AES_CM_128_HMAC_SHA1_80", 7, None),
            (16, "AES_CM_128_HMAC_SHA1_32", 0, "mikey"), (16, "AES_192_CM_HMAC_SHA1_80", 0, None),
            (32, "AES_256_CM_HMAC_SHA1_32", 0, None), (16, "NULL_HMAC_SHA1_80", 0, None),
            (16, "AEAD_AES_256_GCM", 0, None)]):
        c = {"muk": octets(f"muk{n}", 32), "idi": "bmsc.example.com", "idr": f"b-tid-{n}@bsf.example.com",
             "domain": "00f110", "msk_id": f"0012{n + 1:04x}", "msk": octets(f"msk{n}", length),
             "rand": octets(f"rand{n}", 16 + n), "seql": n, "sequ": 0xFFFF - n, "counter": 1 + 0x7FFFFFFF * (n % 2),
             "csb": csb, "verify": n != 1, "profile": profile, "sdp_ids": sdp_ids,
             "sessions": [[0, 0, 0], [0, 0xCAFEBABE, 5]][:1 + n % 2]}
        c["message"] = msk_message(c).hex()
        c["verification"] = verification(c).hex() if c["verify"] else None
        msks.append(c)
    key_len = lambda profile: next(k for name, k in [("192", 24), ("256", 32), ("", 16)] if name in profile)
    mtks = []
    for n, of in enumerate(msks):
        for k, salt in enumerate([12] if "GCM" in of["profile"] else [14, 0]):
            c = {key: of[key] for key in ["domain", "msk_id", "msk", "rand", "profile"]}
            c |= {"csb": of["csb"], "mtk_id": n + 1 + k, "counter": 1 + k, "mtk": octets(f"mtk{n}{k}", key_len(of["profile"])),
                  "salt": octets(f"salt{n}{k}", salt)}
            c["message"] = mtk_message(c).hex()
            mtks.append(c)
    prfs = []
    for name, digest in [("MIKEY-1", hashlib.sha1), ("HMAC-SHA-256", hashlib.sha256)]:
        for n, length in enumerate([1, 16, 31, 32, 33, 64, 65]):
            key, rand = octets(f"inkey{n}", length), octets(f"prfrand{n}", 16)
            label = struct.pack(">IBI", ENCR, 0xFF, n) + bytes.fromhex(rand)
            out = prf(digest, bytes.fromhex(key), label, 45).hex()
            prfs.append({"prf": name, "inkey": key, "csb": n, "rand": rand, "out": out})
    # Other algorithms than those of MBMS, which a client opens all the same.
    strong_msk, strong_mtk = dict(msks[0]), dict(mtks[0])
    strong_msk |= {"message": msk_message(strong_msk, STRONG).hex(),
                   "verification": verification(strong_msk, STRONG).hex()}
    strong_mtk["message"] = mtk_message(strong_mtk, STRONG).hex()
    revocation = dict(msks[0]) | {"seql": 1, "sequ": 0, "counter": 2}
    revocation |= {"message": msk_message(revocation).hex(), "verification": verification(revocation).hex()}
    pull = {key: msks[0][key] for key in ["muk", "idi", "idr", "domain"]}
    pull |= {"key_group": 0x12, "counter": 0x80000000, "rand": octets("pullrand", 16)}
    pull["message"] = solicited_pull(pull).hex()
    return {"msk": msks, "mtk": mtks, "prf": prfs, "strong": {"msk": strong_msk, "mtk": strong_mtk},
            "revocation": revocation, "pull": pull}


def kdf(key, *parameters):
    """TS 33.220 B.2 with FC 0x01."""
    s = b"\1" + b"".join(p + struct.pack(">H", len(p)) for p in parameters)
    return hmac.new(key, s, hashlib.sha256).digest()


def gba():
    cases = []
    for n, variant in enumerate(["me", "u", "me"]):
        c = {"variant": variant, "ck": octets(f"ck{n}", 16), "ik": octets(f"ik{n}", 16),
             "rand": octets(f"challenge{n}", 16), "impi": ["user@operator.example", "001010000000001@ims.example",
                                                        "j\u00fcrgen@operator.example"][n], "naf": "bmsc.example.com"}
        ks = bytes.fromhex(c["ck"] + c["ik"])
        naf_id = c["naf"].encode() + bytes.fromhex("0100000001")
        key = lambda kind: kdf(ks, kind, bytes.fromhex(c["rand"]), c["impi"].encode(), naf_id)
        if variant == "me":
            c["muk"], c["mrk"] = key(b"gba-me").hex(), kdf(key(b"gba-me"), b"mbms-mrk").hex()
        else:
            c["muk"], c["mrk"] = key(b"gba-u").hex(), key(b"gba-me").hex()
        cases.append(c)
    return cases


def write(path, title, content):
    note = "made once by tools/vectors/make_mikey.py, a second implementation"
    text = json.dumps({"title": title, "source": note, **content}, indent=1)
    path.write_text(text + "\n")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    write(folder / "mikey-mbms.json", "MSK, MTK and verification messages of MBMS; MIKEY PRFs", mikey())
    write(folder / "gba.json", "MUK and MRK from CK and IK", {"cases": gba()})

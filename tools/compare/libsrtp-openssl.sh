#!/bin/sh
# Makes a shared libsrtp that uses OpenSSL, for a comparison with the fastest libsrtp there is; the one
# that Debian ships uses NSS. Needs pip and a C compiler; prints the path for the variable LIBSRTP:
#
#   LIBSRTP=$(tools/compare/libsrtp-openssl.sh) cargo run --release -p compare -- --rival libsrtp
#
# The wheel of pylibsrtp carries libsrtp with OpenSSL linked in, as one Python extension. All that this
# extension wants of an interpreter when it is loaded is one variable, which a small library brings.
set -eu

to=$(cd "$(dirname "$0")/../.." && pwd)/target/libsrtp-openssl
mkdir -p "$to"
cd "$to"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest . 'pylibsrtp==1.0.0' >&2
python3 -m zipfile --extract pylibsrtp-1.0.0-*.whl . >&2
cp pylibsrtp/_binding.abi3.so .
echo 'char _Py_NoneStruct[256];' | cc -shared -fPIC -x c - -x none -o libsrtp2.so \
    -Wl,--no-as-needed -L. -l:_binding.abi3.so -Wl,-rpath,'$ORIGIN' -Wl,--unresolved-symbols=ignore-all
echo "$to/libsrtp2.so"

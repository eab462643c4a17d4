#!/bin/sh
# Makes the certificates of the tests beside it, valid for a century: an authority, a server named `localhost` and two
# clients, all from it, and an authority that nobody trusts. Nothing but these tests trusts any of them. The clients' keys
# are in the three forms that there are: client.key is PKCS #8, client_sec1.key the same in SEC 1, client_rsa.key PKCS #1.
set -eu
cd "$(dirname "$0")"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.key" 2>/dev/null; }
authority() {
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 36500 -out "$1.pem"
}
signed() {
    openssl req -new -key "$1.key" -subj "/CN=$1" |
        openssl x509 -req -CA authority.pem -CAkey authority.key -CAcreateserial -days 36500 -extfile "$2" -out "$1.pem"
}
authority authority
authority stranger
printf 'subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n' > server.ext
printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n' > client.ext
key server
signed server server.ext
key client
signed client client.ext
openssl pkey -in client.key -traditional -out client_sec1.key
openssl genrsa -traditional -out client_rsa.key 2048
signed client_rsa client.ext
# The authorities have signed what they were for.
rm -f authority.key stranger.key ./*.srl ./*.ext

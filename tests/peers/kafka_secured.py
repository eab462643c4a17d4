"""Listeners of Apache Kafka that encrypt and authenticate, and what clients need for them.

Beside the plain listener the broker gets one for each protocol, one that wants certificates of clients, and one whose
sessions last two seconds. In `clients/` of its directory stands a properties file for each way in, in the names of Kafka's
own clients, so that any client can be tried with them: <listener>-<mechanism>.properties. `stranger.pem` there is an
authority that has signed nothing. Needs openssl.
"""

import subprocess

USER, PASSWORD = "alice", "alice-secret"
SECURITY = "org.apache.kafka.common.security"
# Name of the listener -> its protocol.
LISTENERS = {
    "SSL": "SSL", "MUTUAL": "SSL", "SASL_PLAINTEXT": "SASL_PLAINTEXT", "SASL_SSL": "SASL_SSL", "SHORT": "SASL_PLAINTEXT",
}
# Mechanism -> what a client logs in with.
LOGINS = {
    "PLAIN": f'{SECURITY}.plain.PlainLoginModule required username="{USER}" password="{PASSWORD}";',
    "SCRAM-SHA-256": f'{SECURITY}.scram.ScramLoginModule required username="{USER}" password="{PASSWORD}";',
    "SCRAM-SHA-512": f'{SECURITY}.scram.ScramLoginModule required username="{USER}" password="{PASSWORD}";',
    "OAUTHBEARER": f'{SECURITY}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{USER}";',
}
# What the broker checks them with.
BROKER_LOGINS = {
    "PLAIN": f'{SECURITY}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "SCRAM-SHA-256": f"{SECURITY}.scram.ScramLoginModule required;",
    "SCRAM-SHA-512": f"{SECURITY}.scram.ScramLoginModule required;",
    "OAUTHBEARER": f'{SECURITY}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
}
# The password of SCRAM is stored when the log directory is formatted.
FORMAT_OPTIONS = [
    option for hash in ("256", "512")
    for option in ("--add-scram", f"SCRAM-SHA-{hash}=[name={USER},password={PASSWORD},iterations=4096]")
]


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def signed(folder, name, extensions):
    """A key and a certificate from the authority, and both in one file, as Kafka wants a PEM key store."""
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"basicConstraints=critical,CA:FALSE\n{extensions}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
            "-CAcreateserial", "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    both = (folder / f"{name}.key").read_text() + (folder / f"{name}.pem").read_text()
    (folder / f"{name}-store.pem").write_text(both)


def certificates(folder):
    authority(folder, "authority")
    authority(folder, "stranger")
    signed(folder, "broker", "subjectAltName=DNS:localhost")
    signed(folder, "client", "extendedKeyUsage=clientAuth")


def settings(folder, ports):
    """What these listeners add to the broker's settings; `ports` by the name of the listener."""
    lines = [
        "ssl.keystore.type=PEM", f"ssl.keystore.location={folder}/broker-store.pem",
        "ssl.truststore.type=PEM", f"ssl.truststore.location={folder}/authority.pem",
        "listener.name.mutual.ssl.client.auth=required",
        "listener.name.short.connections.max.reauth.ms=2000",
        f"sasl.enabled.mechanisms={','.join(LOGINS)}",
    ]
    for name, protocol in LISTENERS.items():
        if protocol.startswith("SASL"):
            prefix = f"listener.name.{name.lower()}"
            lines += [f"{prefix}.{mechanism.lower()}.sasl.jaas.config={login}"
                      for mechanism, login in BROKER_LOGINS.items()]
    protocols = ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items())
    lines.append(f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocols}")
    return {
        "listeners": "".join(f",{name}://127.0.0.1:{ports[name]}" for name in LISTENERS),
        "advertised": "".join(f",{name}://localhost:{ports[name]}" for name in LISTENERS),
        "lines": "\n".join(lines) + "\n",
    }


def client_properties(folder, ports):
    """Writes the properties files."""
    for name, protocol in LISTENERS.items():
        common = [f"bootstrap.servers=localhost:{ports[name]}", f"security.protocol={protocol}"]
        if protocol.endswith("SSL"):
            common += ["ssl.truststore.type=PEM", f"ssl.truststore.location={folder}/authority.pem"]
        if name == "MUTUAL":
            common += ["ssl.keystore.type=PEM", f"ssl.keystore.location={folder}/client-store.pem"]
        ways = {"": []}
        if protocol.startswith("SASL"):
            ways = {f"-{mechanism.lower()}": [f"sasl.mechanism={mechanism}", f"sasl.jaas.config={login}"]
                    for mechanism, login in LOGINS.items()}
        for suffix, lines in ways.items():
            (folder / f"{name.lower()}{suffix}.properties").write_text("\n".join(common + lines) + "\n")

"""Scans a TLS listener with sslyze and judges what it found.

Usage: suite.py PORT
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import outcome
import sslyze
from sslyze import __version__ as sslyze_version
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]
# What the profile judges of a server; the certificate of the test is made for it and not judged.
PROFILE = ["tls_versions", "ciphersuites", "ciphers", "ecdh_param_size", "dh_param_size", "tls_curves"]


def main():
    result = scan(int(sys.argv[1]))
    outcome.version(f"sslyze {sslyze_version.__version__}")
    found = result.scan_result
    for version in OLD:
        suites = accepted(getattr(found, f"{version}_cipher_suites"))
        outcome.case(f"{version} is refused", suites and f"accepts {suites}")
    for version in ("tls_1_2", "tls_1_3"):
        suites = accepted(getattr(found, f"{version}_cipher_suites"))
        outcome.case(f"{version} is spoken", "" if suites else "refused")
    for name, fault in judge(found):
        outcome.case(name, fault)
    for name, fault in profile(result).items():
        outcome.case(name, fault)


def scan(port):
    scanner = sslyze.Scanner()
    location = sslyze.ServerNetworkLocation("localhost", port, ip_address="127.0.0.1")
    scanner.queue_scans([sslyze.ServerScanRequest(location)])
    result = next(scanner.get_results())
    if result.scan_status is not sslyze.ServerScanStatusEnum.COMPLETED:
        sys.exit(f"sslyze could not scan: {result.connectivity_error_trace}")
    return result


def accepted(attempt):
    return [suite.cipher_suite.name for suite in done(attempt).accepted_cipher_suites]


def done(attempt):
    if attempt.result is None:
        sys.exit(f"sslyze failed: {attempt.error_reason} {attempt.error_trace}")
    return attempt.result


def judge(found):
    weak = [
        name
        for name in accepted(found.tls_1_2_cipher_suites)
        if not ("ECDHE" in name and ("GCM" in name or "CHACHA20" in name))
    ]
    yield "TLS 1.2 has forward secrecy and authenticated encryption", weak and f"accepts {weak}"
    curves = {curve.name for curve in done(found.elliptic_curves).supported_curves or []}
    missing = {"X25519", "secp256r1"} - curves
    yield "X25519 and P-256 are offered", missing and f"only {curves}"
    yield "no compression", done(found.tls_compression).supports_compression and "compresses"
    early = done(found.tls_1_3_early_data).supports_early_data
    yield "no early data, which can be replayed", early and "takes early data"
    bleeds = done(found.heartbleed).is_vulnerable_to_heartbleed
    yield "no Heartbleed", bleeds and "bleeds"
    injects = done(found.openssl_ccs_injection).is_vulnerable_to_ccs_injection
    yield "no early ChangeCipherSpec", injects and "takes it"
    robot = done(found.robot).robot_result.name
    yield "no Bleichenbacher oracle", "" if robot.startswith("NOT_VULNERABLE") else robot
    renegotiation = done(found.session_renegotiation)
    yield "no renegotiation by the client", renegotiation.is_vulnerable_to_client_renegotiation_dos and "renegotiates"
    yield "secure renegotiation is signalled", "" if renegotiation.supports_secure_renegotiation else "it is not"
    secret = done(found.tls_extended_master_secret).supports_ems_extension
    yield "extended master secret", "" if secret else "not supported"
    scsv = done(found.tls_fallback_scsv).supports_fallback_scsv
    yield "fallback is refused", "" if scsv else "TLS_FALLBACK_SCSV is ignored"
    resumption = done(found.session_resumption)
    kinds = [resumption.session_id_resumption_result.name, resumption.tls_ticket_resumption_result.name]
    yield "sessions are resumed", "" if "FULLY_SUPPORTED" in kinds else str(kinds)


def profile(result):
    """Mozilla's intermediate profile."""
    issues = {}
    try:
        wanted = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
        check_server_against_tls_configuration(result, wanted)
    except ServerNotCompliantWithTlsConfiguration as found:
        issues = found.issues
    return {f"Mozilla intermediate: {name}": issues.get(name, "") for name in PROFILE}


main()

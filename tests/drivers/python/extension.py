"""Connector/Python's C extension needs the OpenSSL that comes with it, where the system's is older, and does not look there by itself."""
import ctypes, importlib.util, os

vendor = os.path.join(importlib.util.find_spec("mysql").submodule_search_locations[0], "vendor")
for library in ("libcrypto.so.3", "libssl.so.3"):
    if os.path.exists(os.path.join(vendor, library)):
        ctypes.CDLL(os.path.join(vendor, library), ctypes.RTLD_GLOBAL)

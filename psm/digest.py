"""BLAKE2b (RFC 7693) for fingerprints and keys, without what comes with ``hashlib``.

That loads OpenSSL, which has its own BLAKE2b only to offer under another name, and takes 4 MB of a watcher that has 35.
"""

try:
    from _blake2 import blake2b
except ImportError:  # pragma: no cover  (another Python than CPython)
    from hashlib import blake2b

__all__ = ["blake2b"]

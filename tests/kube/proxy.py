#!/usr/bin/python3
"""A proxy in front of an API server that does what proxies on the way to clusters do.

    proxy.py LOG PORT TARGET idle SECONDS    cuts a connection on which one of the directions was silent for so long
    proxy.py LOG PORT TARGET age SECONDS     cuts each connection when it is so old
    proxy.py LOG PORT TARGET upgrade CERT    ends TLS with the certificate and key in CERT, and drops the wish to upgrade

PORT is on 127.0.0.1, TARGET is HOST:PORT. LOG has a line for each connection: "open N", "cut N AGE BYTES_UP BYTES_DOWN" by the
proxy, "end N AGE BYTES_UP BYTES_DOWN" by others.
"""
import selectors
import socket
import ssl
import sys
import time

CHUNK = 64 * 1024


class Side:
    """One end of a connection, and what is on its way to it."""

    def __init__(self, sock):
        self.sock = sock
        self.waiting = b""
        self.heard = time.monotonic()
        self.bytes = 0
        self.events = 0  # that are watched


class Connection:
    def __init__(self, number, client, server):
        self.number = number
        self.born = time.monotonic()
        self.client, self.server = Side(client), Side(server)

    def other(self, side):
        return self.server if side is self.client else self.client


class Proxy:
    def __init__(self, log, port, target, mode, value):
        self.log = open(log, "a", buffering=1)
        host, _, at = target.rpartition(":")
        self.target = (host, int(at))
        self.mode = mode
        self.limit = float(value) if mode != "upgrade" else 0
        self.tls = None
        if mode == "upgrade":
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(value)
            self.tls.set_alpn_protocols(["http/1.1"])
            self.to_server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.to_server.check_hostname = False
            self.to_server.verify_mode = ssl.CERT_NONE
        self.sides = selectors.DefaultSelector()
        self.connections = []
        self.count = 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.sides.register(self.listener, selectors.EVENT_READ)

    def accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(self.target, timeout=5)
            if self.tls:
                client.settimeout(5)
                client = self.tls.wrap_socket(client, server_side=True)
                server = self.to_server.wrap_socket(server)
        except OSError as e:
            self.log.write(f"failed {e}\n")
            client.close()
            return
        self.count += 1
        connection = Connection(self.count, client, server)
        self.connections.append(connection)
        self.log.write(f"open {connection.number}\n")
        for side in (connection.client, connection.server):
            side.sock.setblocking(False)
            self.watch(connection, side)

    def end(self, connection, how):
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        age = time.monotonic() - connection.born
        self.log.write(
            f"{how} {connection.number} {age:.1f} {connection.client.bytes} {connection.server.bytes}\n"
        )
        for side in (connection.client, connection.server):
            if side.events:
                self.sides.unregister(side.sock)
            side.sock.close()

    def change(self, connection, data):
        """What a side has said, as the other one gets it."""
        if self.mode != "upgrade":
            return data
        return data.replace(b"Upgrade: websocket\r\n", b"").replace(b"Connection: Upgrade\r\n", b"")

    def watch(self, connection, side):
        """Reads from a side only while nothing waits to be written to the other one."""
        other = connection.other(side)
        for one, to in ((side, other), (other, side)):
            events = (0 if to.waiting else selectors.EVENT_READ) | (selectors.EVENT_WRITE if one.waiting else 0)
            if events == one.events:
                continue
            if one.events:
                self.sides.unregister(one.sock)
            if events:
                self.sides.register(one.sock, events, (connection, one))
            one.events = events

    def flush(self, side):
        while side.waiting:
            try:
                sent = side.sock.send(side.waiting)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            side.waiting = side.waiting[sent:]

    def carry(self, connection, side):
        other = connection.other(side)
        try:
            self.flush(side)
            while not other.waiting:
                data = side.sock.recv(CHUNK)
                if not data:
                    self.end(connection, "end")
                    return
                side.heard = time.monotonic()
                side.bytes += len(data)
                other.waiting = self.change(connection, data)
                self.flush(other)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.end(connection, "end")
            return
        self.watch(connection, side)

    def look(self):
        now = time.monotonic()
        for connection in list(self.connections):
            last = min(connection.client.heard, connection.server.heard)
            if self.mode == "idle" and now - last > self.limit:
                self.end(connection, "cut")
            elif self.mode == "age" and now - connection.born > self.limit:
                self.end(connection, "cut")

    def serve(self):
        while True:
            for key, _ in self.sides.select(timeout=0.5):
                if key.data is None:
                    self.accept()
                elif key.data[0] in self.connections:
                    self.carry(*key.data)
            self.look()


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    Proxy(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]).serve()

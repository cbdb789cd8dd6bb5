"""A TCP relay on loopback that damages a connection after a number of bytes: for tests of bad
networks, without root.
"""

import selectors
import socket
import struct
import threading
import time

FAULTS = ('black_hole', 'reset', 'close', 'stall', 'throttle', 'flip')


class FaultProxy:
    """Relays connections to a port of this machine. Use it as a context manager; `port` is the port
    to connect to.

    fault: one of FAULTS, or '' for none. after: bytes from the server that pass undamaged, on each
    connection. value: seconds of a stall, bytes a second of a throttle.
    """

    def __init__(self, target_port, fault='', after=0, value=1.0):
        self.fault, self.after, self.value = fault, after, value
        self._target = ('127.0.0.1', target_port)
        self._listener = socket.socket()
        self._listener.bind(('127.0.0.1', 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._threads = []

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_exc):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _spawn(self, action, *arguments):
        thread = threading.Thread(target=action, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        self._listener.settimeout(0.1)
        while not self._over.is_set():
            try:
                client, _address = self._listener.accept()
            except socket.timeout:
                continue
            self._spawn(self._relay, client)

    def _relay(self, client):
        with client, socket.create_connection(
                self._target) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            passed = 0
            while not self._over.is_set():
                for key, _mask in selector.select(0.1):
                    data = self._receive(key.fileobj)
                    if key.fileobj is server:
                        passed += len(data)
                        if self.fault and passed > self.after and not self._spoil(client):
                            return
                        if self.fault == 'flip' and passed > self.after and data:
                            data = bytes([data[0] ^ 1]) + data[1:]
                    if not data:
                        return
                    key.data.sendall(data)

    @staticmethod
    def _receive(sock):
        try:
            return sock.recv(4096)
        except ConnectionError:
            return b''

    def _spoil(self, client):
        """Apply the fault; return False if the connection is over."""
        if self.fault == 'black_hole':
            self._over.wait()
        elif self.fault == 'reset':
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        elif self.fault == 'stall':
            self._over.wait(self.value)
        elif self.fault == 'throttle':
            time.sleep(4096 / self.value)
        return self.fault in ('stall', 'throttle', 'flip')


class CutProxy:
    """Relays connections to one port of this machine through many ports. Each port cuts them after
    a different number of bytes.

    cuts: [(kind, after)]: kind is 'close' or 'reset'; after is the exact number of bytes of the
    server's stream that pass, on each connection. ports: in the order of cuts. Use it as a context
    manager. One thread serves all ports.
    """

    def __init__(self, target_port, cuts):
        self._target = ('127.0.0.1', target_port)
        self._listeners = []
        self._selector = selectors.DefaultSelector()
        self._is_healed = False
        self._over = threading.Event()
        for cut in cuts:
            listener = socket.socket()
            listener.bind(('127.0.0.1', 0))
            listener.listen(16)
            self._selector.register(listener, selectors.EVENT_READ,
                                    lambda one=listener, cut=cut: self._accept(one, cut))
            self._listeners.append(listener)
        self.ports = [listener.getsockname()[1] for listener in self._listeners]
        # Bytes of the server's stream, for each connection.
        self.counts = {port: [] for port in self.ports}
        self._thread = threading.Thread(target=self._serve)

    def heal(self):
        """Cut nothing from now on."""
        self._is_healed = True

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _serve(self):
        while not self._over.is_set():
            for key, _mask in self._selector.select(0.1):
                if key.fileobj.fileno() != -1:      # else closed in this round
                    key.data()

    def _accept(self, listener, cut):
        client, _address = listener.accept()
        server = socket.create_connection(self._target)
        counts = self.counts[listener.getsockname()[1]]
        counts.append(0)
        number = len(counts) - 1
        limit = None if self._is_healed else cut

        def pass_on(source, target):
            data = FaultProxy._receive(source)
            if source is server and limit is not None:
                data = data[:limit[1] - counts[number]]
            counts[number] += len(data) * (source is server)
            try:
                target.sendall(data)
            except OSError:
                data = b''
            if not data or source is server and limit is not None and counts[number] >= limit[1]:
                self._cut(client, server, limit is not None and limit[0] == 'reset')

        self._selector.register(client, selectors.EVENT_READ, lambda: pass_on(client, server))
        self._selector.register(server, selectors.EVENT_READ, lambda: pass_on(server, client))

    def _cut(self, client, server, is_reset):
        for sock in (client, server):
            self._selector.unregister(sock)
            if is_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            sock.close()

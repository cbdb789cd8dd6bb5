"""A TCP relay on loopback that spoils a connection after so many bytes: for tests of what a bad network does, without root."""

import selectors
import socket
import struct
import threading
import time

FAULTS = ('black_hole', 'reset', 'close', 'stall', 'throttle', 'flip')


class FaultProxy:
    """Relays connections to a port of this machine.  Use as a context manager; `port` is where to connect.

    fault: of FAULTS, or '' for none.  after: bytes from the server that pass unspoiled, of each connection.  value: seconds of
    a stall, bytes a second of a throttle.
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
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as selector:
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
        """Do what the fault says; False when the connection is over."""
        if self.fault == 'black_hole':
            self._over.wait()
        elif self.fault == 'reset':
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        elif self.fault == 'stall':
            self._over.wait(self.value)
        elif self.fault == 'throttle':
            time.sleep(4096 / self.value)
        return self.fault in ('stall', 'throttle', 'flip')

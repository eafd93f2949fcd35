"""The messages that h11 sees in a connection's bytes, in the shape that `frame` prints."""

import h11


def frame(kind, data):
    if kind == "request":
        return read(h11.Connection(h11.SERVER), data, respond)
    return read_responses(data)


def read(connection, data, after_message):
    messages, code = [], ""
    connection.receive_data(data)
    ended = False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if ended:
                    break
                ended = True
                connection.receive_data(b"")
            elif event is h11.PAUSED:
                if messages and not messages[-1]["complete"]:
                    break
                if not after_message(connection):
                    break
            elif isinstance(event, h11.ConnectionClosed):
                break
            elif isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
                messages.append(message(event))
            elif isinstance(event, h11.Data):
                messages[-1]["body"] += bytes(event.data).hex()
            elif isinstance(event, h11.EndOfMessage):
                messages[-1]["complete"] = True
                if not after_message(connection):
                    break
    except h11.RemoteProtocolError as error:
        code = str(error)
    if not code and connection.their_state in (h11.CLOSED, h11.MUST_CLOSE):
        code = "closed"
    return {"messages": messages, "code": code}


def message(event):
    if isinstance(event, h11.Request):
        start = [event.method.decode("latin-1"), event.target.decode("latin-1")]
    else:
        start = [str(event.status_code), ""]
    fields = [[name.decode("latin-1"), value.hex()] for name, value in event.headers]
    informational = isinstance(event, h11.InformationalResponse)
    return {"start": start, "fields": fields, "body": "", "complete": informational}


def respond(connection):
    """Answers the request just read, so that the next one may be read."""
    if connection.our_state is not h11.SEND_RESPONSE:
        return False
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    if connection.our_state is h11.SWITCHED_PROTOCOL:
        return False
    connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True


def read_responses(data):
    """Responses to as many GETs as there are."""
    connection = h11.Connection(h11.CLIENT)
    ask(connection)

    def next_response(connection):
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return False
        connection.start_next_cycle()
        ask(connection)
        return True

    return read(connection, data, next_response)


def ask(connection):
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "example.com")]))
    connection.send(h11.EndOfMessage())

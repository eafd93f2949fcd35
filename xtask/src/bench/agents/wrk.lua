-- What wrk asks, and one line of figures at the end. Arguments after `--`: BYTES of body, then NAME VALUE of fields.

function init(arguments)
  local size = tonumber(arguments[1])
  if size > 0 then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.sub(string.rep("0123456789", size / 10 + 1), 1, size)
  end
  for place = 2, #arguments, 2 do
    wrk.headers[arguments[place]] = arguments[place + 1]
  end
  local fixed = wrk.format()
  request = function() return fixed end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "\nfigures requests=%d bytes=%d duration_us=%d status=%d connect=%d read=%d write=%d timeout=%d\n",
    summary.requests, summary.bytes, summary.duration,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end

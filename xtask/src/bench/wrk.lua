-- What wrk asks, and one line of figures at the end. Arguments after `--`: get | post BYTES | routes COUNT.
-- Requests are made once, before the clock starts.

local next_route = 0

function init(arguments)
  local kind, size = arguments[1], tonumber(arguments[2])
  if kind == "post" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("0123456789", size / 10)
  end
  if kind == "routes" then
    local requests = {}
    for route = 0, size - 1 do
      requests[route] = wrk.format("GET", string.format("/r%04d/small", route))
    end
    -- A stride that shares no factor with the count visits every route and helps no cache.
    request = function()
      next_route = (next_route + 6037) % size
      return requests[next_route]
    end
  else
    local fixed = wrk.format()
    request = function() return fixed end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "\nfigures requests=%d bytes=%d duration_us=%d status=%d connect=%d read=%d write=%d timeout=%d\n",
    summary.requests, summary.bytes, summary.duration,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end

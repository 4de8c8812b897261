-- One line for the driver to read, instead of wrk's own text.
local the_thread

function setup(thread) the_thread = thread end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %.3f %.3f %.3f\n",
    summary.duration, the_thread:get("sent") or 0, summary.requests - errors.status, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end

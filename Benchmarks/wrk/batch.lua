-- S2: an array of BENCH_BATCH events a request.
local folder = os.getenv("BENCH_LUA")
local events = dofile(folder .. "/events.lua")
dofile(folder .. "/report.lua")

local headers = { ["Content-Type"] = "application/json" }
local size = tonumber(os.getenv("BENCH_BATCH"))
local buffer = {}
sent = -1 -- wrk asks for one request before the first, to look at it; it is never sent

function init() events.init() end

function request()
  sent = sent + 1
  buffer[1] = "["
  local at = 2
  for _ = 1, size do
    at = events.append(buffer, at, sent)
    buffer[at] = ","
    at = at + 1
  end
  buffer[at - 1] = "]"
  return wrk.format("POST", "/v1/events", headers, table.concat(buffer, "", 1, at - 1))
end

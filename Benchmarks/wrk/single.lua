-- S1: one event a request.
local folder = os.getenv("BENCH_LUA")
local events = dofile(folder .. "/events.lua")
dofile(folder .. "/report.lua")

local headers = { ["Content-Type"] = "application/json" }
local buffer = {}
sent = -1 -- wrk asks for one request before the first, to look at it; it is never sent

function init() events.init() end

function request()
  sent = sent + 1
  local after = events.append(buffer, 1, sent)
  return wrk.format("POST", "/v1/events", headers, table.concat(buffer, "", 1, after - 1))
end

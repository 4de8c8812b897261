-- The events that wrk sends: about 460 bytes each, a fresh random UUID in each, a time within the last minute.
-- Everything but the id comes from 1,000 templates made at the start, so that the generator stays cheap.
local M = {}
local format, random = string.format, math.random

local hex = {}
local templates = {}
local variants = { "8", "9", "a", "b" }
local types = { "page_view", "click", "purchase", "signup", "search", "add_to_cart" }
local sources = { "/web", "/ios", "/android", "/backend" }
local agents = {
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15",
}

-- LuaJIT's own seed is a constant: two runs would send the same ids.
local function seed()
  local file = assert(io.open("/dev/urandom", "rb"))
  local bytes = file:read(6)
  file:close()
  local value = 0
  for i = 1, 6 do value = value * 256 + bytes:byte(i) end
  math.randomseed(value)
end

local function uuid()
  return hex[random(0, 65535)] .. hex[random(0, 65535)] .. "-" .. hex[random(0, 65535)]
    .. "-4" .. hex[random(0, 4095)]:sub(2) .. "-" .. variants[random(1, 4)] .. hex[random(0, 4095)]:sub(2)
    .. "-" .. hex[random(0, 65535)] .. hex[random(0, 65535)] .. hex[random(0, 65535)]
end

local function data(i)
  return format(
    '{"url":"https://shop.example.com/products/%06d?ref=home","title":"Product %06d","duration_ms":%d,'
      .. '"value":%d.%02d,"user_agent":"%s","screen":{"w":1920,"h":1080},"tags":["a%d","b%d"],'
      .. '"session":"%s%s","n":',
    random(0, 999999), i, random(1, 30000), random(0, 500), random(0, 99), agents[i % 2 + 1], i % 7, i % 11,
    hex[random(0, 65535)], hex[random(0, 65535)])
end

function M.init()
  seed()
  for i = 0, 65535 do hex[i] = format("%04x", i) end
  local now = os.time()
  for i = 1, 1000 do
    local time = os.date("!%Y-%m-%dT%H:%M:%S", now - random(1, 50)) .. format(".%03dZ", random(0, 999))
    templates[i] = format('","type":"%s","source":"%s","subject":"user-%d","time":"%s","data":%s',
      types[i % #types + 1], sources[i % #sources + 1], random(1, 50000), time, data(i))
  end
end

local next_template = 0

-- Writes the pieces of one event of the request number `n` to `buffer` from index `at`; returns the next free
-- index. The number, in the event's data, is how the driver finds a lost event afterwards.
function M.append(buffer, at, n)
  next_template = next_template % 1000 + 1
  buffer[at], buffer[at + 1], buffer[at + 2] = '{"id":"', uuid(), templates[next_template]
  buffer[at + 3], buffer[at + 4] = n, "}}"
  return at + 5
end

return M

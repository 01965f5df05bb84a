-- Still no route: the host is one of the listener's wildcards, or unknown.
local function find_route(handle)
  local headers = handle:headers()
  headers:replace("x-signet-scope", headers:get("x-signet-scope"):match("^[^|]*") .. "|~")
  handle:clearRouteCache()
end

function envoy_on_request(handle)
  if handle:streamInfo():routeName() == "" then
    find_route(handle)
  end
  -- Envoy takes an upgrade while it has no route that could refuse it.
  local upgrade = handle:headers():get("upgrade")
  if upgrade ~= nil and handle:metadata():get("upgrade") ~= upgrade:lower() then
    handle:respond({[":status"] = "403"})
  end
end

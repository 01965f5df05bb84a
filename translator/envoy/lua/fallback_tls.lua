-- Still no route: the host is one of the listener's wildcards, or unknown, or
-- not the one that the connection was opened for.
function envoy_on_request(handle)
  local info = handle:streamInfo()
  if info:routeName() ~= "" then
    return
  end
  local headers = handle:headers()
  local host = (headers:get(":authority") or ""):lower():gsub(":%d+$", "")
  local target = "|~"
  if host ~= info:requestedServerName():lower() then
    target = "|!"
  end
  headers:replace("x-signet-scope", headers:get("x-signet-scope"):match("^[^|]*") .. target)
  handle:clearRouteCache()
end

-- Still no route: the host is one of the listener's wildcards, or unknown.
function envoy_on_request(handle)
  if handle:streamInfo():routeName() ~= "" then
    return
  end
  local headers = handle:headers()
  headers:replace("x-signet-scope", headers:get("x-signet-scope"):match("^[^|]*") .. "|~")
  handle:clearRouteCache()
end

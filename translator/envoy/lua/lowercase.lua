-- No route for the host as it was sent: look for it in lower case.
function envoy_on_request(handle)
  local headers = handle:headers()
  local scope = headers:get("x-signet-scope")
  if scope ~= scope:lower() then
    headers:replace("x-signet-scope", scope:lower())
    handle:clearRouteCache()
  end
end

-- wrk: a body that comes from the environment makes the requests POST
local body = os.getenv("BENCH_BODY")
if body and body ~= "" then
  wrk.method = "POST"
  wrk.body = body
  wrk.headers["Content-Type"] = "text/xml"
end

-- Health of a RecommenderModel for Argo CD: as kstatus computes it from the same conditions.
local status = obj.status or {}
-- Defaulted to -1 until the operator has reconciled the object for the first time.
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to reconcile the object" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is_true(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

local function message(type, otherwise)
  return conditions[type] and conditions[type].message or otherwise
end

if is_true("Stalled") then
  return { status = "Degraded", message = message("Stalled") }
end
-- Before Ready: the previous version answers requests while a new one is rolled out.
if is_true("Reconciling") then
  return { status = "Progressing", message = message("Reconciling") }
end
if is_true("Ready") then
  return { status = "Healthy", message = message("Ready") }
end
return { status = "Progressing", message = message("Ready", "Waiting for the condition Ready") }

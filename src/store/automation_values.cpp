#include <array>

#include "nestgate/store/automation_rows.hpp"

namespace nestgate::store {
namespace {

template <class State, std::size_t n>
std::optional<State> parse(std::string_view text, std::array<State, n> const& states) {
  for (auto const state : states)
    if (text == to_string(state)) return state;
  return std::nullopt;
}

}  // namespace

std::string_view to_string(RunStatus status) noexcept {
  switch (status) {
    case RunStatus::pending: return "PENDING";
    case RunStatus::running: return "RUNNING";
    case RunStatus::completed: return "COMPLETED";
    case RunStatus::failed: return "FAILED";
    case RunStatus::cancelled: return "CANCELLED";
    case RunStatus::skipped: return "SKIPPED";
  }
  return "FAILED";
}

std::optional<RunStatus> parse_run_status(std::string_view text) {
  return parse(text, std::array{RunStatus::pending, RunStatus::running, RunStatus::completed, RunStatus::failed,
                                RunStatus::cancelled, RunStatus::skipped});
}

std::string_view to_string(CleanUp clean_up) noexcept {
  switch (clean_up) {
    case CleanUp::nothing: return "nothing";
    case CleanUp::tidy: return "tidy";
    case CleanUp::stop: return "stop";
  }
  return "nothing";
}

std::optional<CleanUp> parse_clean_up(std::string_view text) {
  return parse(text, std::array{CleanUp::nothing, CleanUp::tidy, CleanUp::stop});
}

std::string_view to_string(DeliveryState state) noexcept {
  switch (state) {
    case DeliveryState::waiting: return "waiting";
    case DeliveryState::delivered: return "delivered";
    case DeliveryState::failed: return "failed";
  }
  return "failed";
}

std::optional<DeliveryState> parse_delivery_state(std::string_view text) {
  return parse(text, std::array{DeliveryState::waiting, DeliveryState::delivered, DeliveryState::failed});
}

AutomationRow AutomationRow::clone() const {
  return {
      .id = id,
      .tenant = tenant,
      .owner = owner,
      .organisation = organisation,
      .name = name,
      .model = model,
      .prompt = prompt,
      .setup_script_path = setup_script_path,
      .preset_metadata_json = preset_metadata_json,
      .template_id = template_id,
      .trigger_json = trigger_json,
      .trigger_kind = trigger_kind,
      .event_source = event_source,
      .tarball_path = tarball_path,
      .entrypoint = entrypoint,
      .timeout_s = timeout_s,
      .keep_alive = keep_alive,
      .enabled = enabled,
      .disabled_reason = disabled_reason,
      .disabled_detail = disabled_detail,
      .disabled_at = disabled_at,
      .additions_json = additions_json,
      .policy_json = policy_json,
      .target_by_admin = target_by_admin,
      .callback_json = callback_json.clone(),
      .last_triggered_at = last_triggered_at,
      .next_at = next_at,
      .failures_in_row = failures_in_row,
      .created_at = created_at,
      .updated_at = updated_at,
      .deleted_at = deleted_at,
      .version = version,
  };
}

RunRow RunRow::clone() const {
  return {
      .id = id,
      .automation_id = automation_id,
      .tenant = tenant,
      .owner = owner,
      .organisation = organisation,
      .status = status,
      .trigger_source = trigger_source,
      .dedupe_key = dedupe_key,
      .scheduled_for = scheduled_for,
      .target = target,
      .priority = priority,
      .concurrent_max = concurrent_max,
      .attempt = attempt,
      .attempts_max = attempts_max,
      .retry_pause_s = retry_pause_s,
      .attempts_json = attempts_json,
      .not_before = not_before,
      .wish_json = wish_json.clone(),
      .is_unreadable = is_unreadable,
      .event_payload_json = event_payload_json,
      .fence = fence,
      .holder = holder,
      .sandbox_id = sandbox_id,
      .runtime_epoch = runtime_epoch,
      .runtime_is_own = runtime_is_own,
      .bash_command_id = bash_command_id,
      .error_detail = error_detail,
      .error_is_guess = error_is_guess,
      .status_detail_json = status_detail_json,
      .conversation_id = conversation_id,
      .cost = cost,
      .exit_code = exit_code,
      .output_tail = output_tail,
      .error_tail = error_tail,
      .clean_up = clean_up,
      .created_at = created_at,
      .started_at = started_at,
      .timeout_at = timeout_at,
      .completed_at = completed_at,
      .additions_json = additions_json,
      .version = version,
  };
}

}  // namespace nestgate::store

#pragma once

#include <span>

#include "sealed_column.hpp"
#include "sql.hpp"

// What the statements of several tables need alike.
namespace nestgate::store {

using Values = std::vector<SqlValue>;

template <class... T>
void append_each(Values& to, T const&... members) {
  (to.push_back(Sql::as_value(members)), ...);
}

template <class... T>
Values values(T const&... members) {
  Values packed;
  packed.reserve(sizeof...(members));
  append_each(packed, members...);
  return packed;
}

inline void append(Values& to, Values more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// A text that is NULL where it is empty, and back.
inline std::optional<std::string> unless_empty(std::string const& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}
inline std::optional<Lent> lent_unless_empty(std::string const& text) {
  return text.empty() ? std::nullopt : std::optional(Lent{text});
}
inline std::string text_or_empty(Rows& rows) { return rows.optional_text().value_or(std::string()); }

// A sealed column that is NULL where the secret is empty, and back.
inline Blob sealed_unless_empty(Sealer const& sealer, Place const& place, Secret const& secret) {
  if (secret.empty()) return {};
  return {sealer.seal(place, secret.reveal())};
}
inline Secret opened_or_empty(Sealer const& sealer, Place const& place, Blob const& sealed) {
  return sealed.bytes ? open_column(sealer, place, *sealed.bytes) : Secret();
}
// The same where one that cannot be opened shall not stop the rows beside it: nothing.
inline std::optional<Secret> opened_if_possible(Sealer const& sealer, Place const& place, Blob const& sealed) {
  if (!sealed.bytes) return Secret();
  auto opened = sealer.open(place, *sealed.bytes);
  if (!opened) return std::nullopt;
  return std::move(*opened);
}

// Of "a, b": "?1, ?2", and "a = ?1, b = ?2".
std::string placeholders(std::string_view columns);
std::string assignments(std::string_view columns);
// "?3" for the first behind `columns`.
std::string placeholder_behind(std::string_view columns, std::size_t nth);

std::vector<bool> which_changed(std::span<Rows const> answers);

Task<Time> store_now(Sql& sql);
// The first row's only column, a count.
Task<std::uint64_t> count_of(Sql& sql, std::string_view statement, Values parameters);

}  // namespace nestgate::store

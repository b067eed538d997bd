// Cases from standard input, a line each: zone, expression, gap policy, overlap policy, after, until, with tabs between, the
// times as seconds since 1970. For each a line with the moments in (after, until], or "! " and what is wrong with it.
#include <iostream>
#include <sstream>
#include <vector>

#include "nestgate/schedule/rule.hpp"
#include "nestgate/schedule/zones.hpp"

namespace {

using namespace nestgate::schedule;

Moment moment(std::string const& seconds) { return Moment{std::chrono::seconds(std::stoll(seconds))}; }

std::string answer(Zones& zones, std::vector<std::string> const& words) {
  if (words.size() != 6) return "! six words are needed";
  auto const zone = zones.find(words[0]);
  if (!zone) return "! " + zone.error().reason;
  auto const cron = Cron::parse(words[1]);
  if (!cron) return "! " + std::string(cron.error().field) + ": " + cron.error().reason;
  Rule const rule{*cron, *zone, parse_dst_gap(words[2]).value(), parse_dst_overlap(words[3]).value()};
  auto const after = moment(words[4]), until = moment(words[5]);
  std::vector<Moment> forwards, backwards;
  for (auto at = rule.next(after); at && *at <= until; at = rule.next(*at)) forwards.push_back(*at);
  for (auto at = rule.previous(until + std::chrono::seconds(1)); at && *at > after; at = rule.previous(*at))
    backwards.insert(backwards.begin(), *at);
  if (forwards != backwards) return "! the moments are others backwards";
  std::ostringstream text;
  for (auto const at : forwards) text << at.time_since_epoch().count() << ' ';
  return text.str();
}

}  // namespace

int main() {
  Zones zones;
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::string> words;
    std::istringstream rest(line);
    for (std::string word; std::getline(rest, word, '\t');) words.push_back(word);
    std::cout << answer(zones, words) << '\n';
  }
}

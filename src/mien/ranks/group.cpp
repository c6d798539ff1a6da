#include "mien/ranks/group.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"

namespace mien::ranks {

int Group::processes_here() const {
  const auto& hosts = facts_.hosts;
  return static_cast<int>(std::count(hosts.begin(), hosts.end(), hosts[static_cast<size_t>(rank_)]));
}

bool Group::any(bool value) {
  double count = value ? 1 : 0;
  sum({&count, 1});
  return count > 0;
}

double Group::broadcast(double value) {
  broadcast(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::string Group::broadcast(const std::string& text) {
  uint64_t length = text.size();
  broadcast(std::as_writable_bytes(std::span(&length, 1)));
  std::string result = is_first() ? text : std::string(length, '\0');
  if (length > 0) broadcast(std::as_writable_bytes(std::span(result.data(), result.size())));
  return result;
}

int Group::differing_rank(const std::string& text) {
  uint64_t own = hash64(text);
  uint64_t first = own;
  broadcast(std::as_writable_bytes(std::span(&first, 1)));
  std::vector<double> differs(static_cast<size_t>(size_));
  differs[static_cast<size_t>(rank_)] = own == first ? 0 : 1;
  sum(differs);
  const auto found = std::find(differs.begin(), differs.end(), 1.0);
  return found == differs.end() ? -1 : static_cast<int>(found - differs.begin());
}

void refuse_ranks(const std::string& what, const Variables& variables) {
  const auto place = place_from(variables);
  if (!place) return;
  throw_usage(fmt::format("{} is computed by one process, and {} started {}", what, place->launcher, place->size),
              "start it once; --shard K/N shares out work that falls into parts (docs/scaling.md)");
}

}  // namespace mien::ranks

#include "mien/data/class_weights.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/core/text.h"

namespace mien::data {

void ClassWeightOptions::bind(OptionSet& options) {
  options.group("loss");
  options.add(&class_weights,
              {.name = "class-weights",
               .help = "how much each class weighs in the loss, against rare classes being ignored",
               .choices = {"none", "balanced", "effective"},
               .source = "balanced: N / (K n_c); effective: Cui et al. 2019, arXiv:1901.05555",
               .level = OptionLevel::common});
  options.add(&class_weight_beta,
              {.name = "class-weight-beta",
               .help = "how fast further rows of a class lose worth",
               .minimum = 0,
               .maximum = 0.9999999,
               .source = "Cui et al. 2019, section 5",
               .only_with = {{"class-weights", "effective"}}});
  options.add(&balanced_sampling,
              {.name = "balanced-sampling",
               .help = "let every class come equally often in an epoch, repeating rows of rare ones"});
}

std::vector<int64_t> class_counts(const Dataset& dataset, std::span<const int64_t> rows) {
  std::vector<int64_t> counts(static_cast<size_t>(dataset.classes()), 0);
  for (const int64_t row : rows) {
    const int32_t label = dataset.labels.at(static_cast<size_t>(row));
    if (label != kUnlabeled) ++counts.at(static_cast<size_t>(label));
  }
  return counts;
}

std::vector<int64_t> class_counts(const Dataset& dataset) {
  std::vector<int64_t> rows(dataset.labels.size());
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return class_counts(dataset, rows);
}

std::vector<double> class_weights(std::span<const int64_t> counts, std::string_view kind, double beta) {
  std::vector<double> weights(counts.size(), 0.0);
  const auto present =
      static_cast<double>(std::count_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; }));
  if (kind == "none") {
    for (size_t i = 0; i < counts.size(); ++i) weights[i] = counts[i] > 0 ? 1.0 : 0.0;
  } else if (kind == "balanced") {
    const auto rows = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    for (size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > 0) weights[i] = rows / (present * static_cast<double>(counts[i]));
    }
  } else if (kind == "effective") {
    if (!(beta >= 0 && beta < 1)) throw_usage(fmt::format("class-weight-beta is {}, expected 0 <= beta < 1", beta));
    double sum = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] <= 0) continue;
      // 1 - beta^n without losing digits where beta^n is near 1
      const double effective_number =
          beta == 0 ? 1.0 : -std::expm1(static_cast<double>(counts[i]) * std::log(beta)) / (1 - beta);
      weights[i] = 1 / effective_number;
      sum += weights[i];
    }
    for (double& weight : weights) weight *= sum > 0 ? present / sum : 0;
  } else {
    const std::vector<std::string> kinds{"none", "balanced", "effective"};
    throw_usage(fmt::format("there are no class weights {}", quote_sample(kind)), suggestion(kind, kinds));
  }
  return weights;
}

std::vector<int64_t> epoch_order(std::span<const int64_t> rows, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(rows.begin(), rows.end());
  RandomStream(seed, "epoch order", static_cast<uint64_t>(epoch)).shuffle(order);
  return order;
}

std::vector<int64_t> balanced_epoch_order(const Dataset& dataset,
                                          std::span<const int64_t> rows,
                                          uint64_t seed,
                                          int64_t epoch) {
  std::vector<std::vector<int64_t>> by_class(static_cast<size_t>(dataset.classes()));
  for (const int64_t row : rows) {
    const int32_t label = dataset.labels.at(static_cast<size_t>(row));
    if (label != kUnlabeled) by_class.at(static_cast<size_t>(label)).push_back(row);
  }
  std::erase_if(by_class, [](const auto& members) { return members.empty(); });
  if (by_class.empty()) throw_bad_data("cannot balance the classes of an epoch: none of its rows has a label");
  RandomStream stream(seed, "balanced epoch order", static_cast<uint64_t>(epoch));
  stream.shuffle(by_class);  // so that no class always gets the remainder
  std::vector<int64_t> order;
  order.reserve(rows.size());
  for (size_t place = 0; place < by_class.size(); ++place) {
    std::vector<int64_t>& members = by_class[place];
    const size_t quota = rows.size() / by_class.size() + (place < rows.size() % by_class.size() ? 1 : 0);
    stream.shuffle(members);
    for (size_t i = 0; i < quota; ++i) order.push_back(members[i % members.size()]);
  }
  stream.shuffle(order);
  return order;
}

}  // namespace mien::data

-- SPDX-License-Identifier: GPL-3.0-or-later
-- The losses against PyTorch 1.13 (torch.nn.functional, float64), computed once from these inputs.
-- The third row's logits would overflow a careless exp. And what the losses refuse.

local z = { { 2, -1, 0.5, 3.25 }, { -0.75, 0.125, 4, -2 }, { 100, -100, 99, 0 } }
local t = { { 1, 0.5, -0.25, 2 }, { 0, -1.5, 3, 1 }, { 50, 49, -30, 2 } }
local p = { { 0.1, 0.2, 0.3, 0.4 }, { 0.7, 0.1, 0.1, 0.1 }, { 0, 0, 1, 0 } }
local y = { 4, 1, 3 }

local cases = {
  { name = "cross_entropy", op = "cross_entropy",
    attrs = {}, inputs = { z, y }, value = 2.13519368432,
    gradients = {
      { { 0.0699800809359, 0.00348410307394, 0.0156146666664, -0.0890788506762 },
        { -0.330538546122, 0.00670434599234, 0.323033480188, 0.000800719942152 },
        { 0.243686192877, 3.37236475936e-88, -0.243686192877, 9.06531151808e-45 } },
    } },
  { name = "cross_entropy with label smoothing", op = "cross_entropy",
    attrs = { smoothing = 0.1 }, inputs = { z, y }, value = 4.64248535099,
    gradients = {
      { { 0.0616467476025, -0.00484923025939, 0.00728133333309, -0.0640788506762 },
        { -0.305538546122, -0.001628987341, 0.314700146855, -0.00753261339118 },
        { 0.235352859543, -0.00833333333333, -0.218686192877, -0.00833333333333 } },
    } },
  { name = "cross_entropy with probabilities", op = "soft_cross_entropy",
    attrs = {}, inputs = { z, p }, value = 2.58936035099,
    gradients = {
      { { 0.0366467476025, -0.0631825635927, -0.0843853333336, 0.110921149324 },
        { -0.230538546122, -0.026628987341, 0.289700146855, -0.0325326133912 },
        { 0.243686192877, 3.37236475936e-88, -0.243686192877, 9.06531151808e-45 } },
      { { 0.520310782273, 1.52031078227, 1.02031078227, 0.103644115606 },
        { 1.59379567288, 1.30212900621, 0.0104623395436, 2.01046233954 },
        { 0.104420562506, 66.7710872292, 0.437753895839, 33.4377538958 } },
    } },
  { name = "kl_div batchmean", op = "kl_div",
    attrs = {}, inputs = { z, t }, value = 18.040177305,
    gradients = {
      { { -0.00230584361227, -0.0403595264302, -0.0050955974621, 0.0477609675045 },
        { -0.0110785237349, 0.0036087918992, 0.0443805809382, -0.0369108491025 },
        { 3.630646075e-17, -0.0896471404567, 0.0896471404567, -3.47292809548e-22 } },
      { { -0.0142395885916, 0.100972326698, 0.00109785559531, -0.0878305937015 },
        { 0.0170701442706, -0.00354307694633, -0.144779560655, 0.131252493331 },
        { -13.041924905, 13.041924905, -5.82843079746e-34, -5.27656847956e-22 } },
    } },
  { name = "kl_div batchmean, T = 4", op = "kl_div",
    attrs = { temperature = 4 }, inputs = { z, t }, value = 7.30009564153,
    gradients = {
      { { 0.00225291994352, -0.00770345109613, 0.000600811059816, 0.00484972009279 },
        { -0.00305473875568, 0.00532430486511, 0.00901236108673, -0.0112819271962 },
        { 1.61872670054e-07, -0.036485165526, 0.036485291496, -2.87842671586e-07 } },
      { { -0.00283546472724, 0.00928882295664, -0.00109695280833, -0.00535640542107 },
        { 0.001969804442, -0.00532942874594, -0.0109984614145, 0.0143580857184 },
        { -1.02042593551, 1.02042846727, -4.01032798994e-09, -2.52775044992e-06 } },
    } },
  { name = "kl_div mean, T = 4", op = "kl_div",
    attrs = { temperature = 4, reduction = 1 }, inputs = { z, t }, value = 1.82502391038,
    gradients = {
      { { 0.00056322998588, -0.00192586277403, 0.000150202764954, 0.0012124300232 },
        { -0.000763684688919, 0.00133107621628, 0.00225309027168, -0.00282048179904 },
        { 4.04681675135e-08, -0.0091212913815, 0.009121322874, -7.19606678965e-08 } },
      { { -0.00070886618181, 0.00232220573916, -0.000274238202082, -0.00133910135527 },
        { 0.000492451110501, -0.00133235718649, -0.00274961535362, 0.0035895214296 },
        { -0.255106483878, 0.255107116819, -1.00258199748e-09, -6.31937612481e-07 } },
    } },
  { name = "mse_loss", op = "mse",
    attrs = {}, inputs = { z, t }, value = 3447.04817708,
    gradients = {
      { { 0.166666666667, -0.25, 0.125, 0.208333333333 },
        { -0.125, 0.270833333333, 0.166666666667, -0.5 },
        { 8.33333333333, -24.8333333333, 21.5, -0.333333333333 } },
      { { -0.166666666667, 0.25, -0.125, -0.208333333333 },
        { 0.125, -0.270833333333, -0.166666666667, 0.5 },
        { -8.33333333333, 24.8333333333, -21.5, 0.333333333333 } },
    } },
  { name = "l1_loss", op = "l1_loss",
    attrs = {}, inputs = { z, t }, value = 28.40625,
    gradients = {
      { { 0.0833333333333, -0.0833333333333, 0.0833333333333, 0.0833333333333 },
        { -0.0833333333333, 0.0833333333333, 0.0833333333333, -0.0833333333333 },
        { 0.0833333333333, -0.0833333333333, 0.0833333333333, -0.0833333333333 } },
      { { -0.0833333333333, 0.0833333333333, -0.0833333333333, -0.0833333333333 },
        { 0.0833333333333, -0.0833333333333, -0.0833333333333, 0.0833333333333 },
        { -0.0833333333333, 0.0833333333333, -0.0833333333333, 0.0833333333333 } },
    } },}

local function close(want, got, limit, what)
  if type(want) == "table" then
    assert.equal(#want, #got, what)
    for i = 1, #want do close(want[i], got[i], limit, what) end
  elseif math.abs(want - got) > limit * math.max(1, math.abs(want)) then
    error(("%s: %.12g, PyTorch has %.12g"):format(what, got, want))
  end
end

local function tensors(lists, dtype)
  local made = {}
  for i, list in ipairs(lists) do
    local labels = type(list[1]) == "number"
    made[i] = ea.tensor(list, labels and "i32" or dtype)
    if not labels then made[i]:require_grad(true) end
  end
  return made
end

describe("losses as PyTorch computes them", function()
  for _, case in ipairs(cases) do
    for dtype, limit in pairs { f64 = 1e-10, f32 = 1e-6 } do
      it(case.name .. " in " .. dtype, function()
        local x = tensors(case.inputs, dtype)
        local loss = ea[case.op](x[1], x[2], case.attrs)
        assert.equal(dtype, loss.dtype)
        assert.equal(0, loss.ndim)
        close(case.value, loss:item(), limit, case.name)
        loss:backward()
        for i, gradient in ipairs(case.gradients) do
          close(gradient, x[i].grad:tolist(), limit, case.name .. " gradient " .. i)
        end
      end)
    end
  end

  it("cosine_similarity in f64", function()
    local x = tensors({ z, t }, "f64")
    local c = ea.cosine_similarity(x[1], x[2])
    close({ 0.859212965056, 0.618028816124, -0.218205335662 }, c:tolist(), 1e-10, "value")
    c:backward(ea.tensor({ 1, 2, -0.5 }, "f64"))
    close({ { 0.000431250625538, 0.108890782948, -0.0544453914742, 0.0416156853644 },
      { 0.0450499364829, -0.196459807932, 0.13763664246, 0.246100820744 },
      { -0.00226684739164, -0.00149662442553, 0.000778002996067, -7.60297336802e-05 } },
      x[1].grad:tolist(), 1e-10, "gradient 1")
    close({ { 0.0564786113352, -0.189973510855, 0.0949867554273, 0.0311274164745 },
      { -0.0944757425923, 0.167099952884, 0.201162635588, -0.352837977436 },
      { -0.00474121681176, 0.00288055115882, -0.00319963374053, -3.75892051098e-05 } },
      x[2].grad:tolist(), 1e-10, "gradient 2")
  end)

  it("normalize in f64", function()
    local x = tensors({ z }, "f64")[1]
    local unit = ea.l2_normalize(x)
    close({ { 0.50295569077, -0.251477845385, 0.125738922692, 0.817302997501 },
      { -0.165332549536, 0.0275554249227, 0.881773597528, -0.440886798764 },
      { 0.57927472707, -0.57927472707, 0.5734819798, 0 } }, unit:tolist(), 1e-10, "value")
    unit:backward(ea.tensor(t, "f64"))
    close({ { 0.000993983578596, 0.250980853595, -0.125490426798, 0.0959194153345 },
      { 0.078837388845, -0.34380466388, 0.240864124306, 0.430676436302 },
      { 0.345424701769, 0.228057278031, -0.11855295327, 0.0115854945414 } },
      x.grad:tolist(), 1e-10, "gradient")
  end)
end)

describe("losses", function()
  local function refuses(pattern, f, ...)
    local ok, sentence = pcall(f, ...)
    assert.is_false(ok)
    assert.truthy(tostring(sentence):find(pattern, 1, true), tostring(sentence))
  end
  local logits = ea.zeros({ 3, 4 })

  it("stay finite for logits no exp can take", function()
    local far = ea.tensor { { 1e4, -1e4 }, { -3e4, 3e4 } }
    assert.equal(0, ea.cross_entropy(far, ea.tensor({ 1, 2 }, "i32")):item())
    assert.equal(40000, ea.cross_entropy(far, ea.tensor({ 2, 1 }, "i32")):item())
    assert.equal(0, ea.kl_div(far, far):item())
  end)

  it("are f32 for bf16 logits, and give bf16 gradients", function()
    local x = ea.tensor({ { 1, 2, 3 } }, "bf16"):require_grad(true)
    local loss = ea.cross_entropy(x, ea.tensor({ 1 }, "i32"))
    assert.equal("f32", loss.dtype)
    assert.near(2.40760596, loss:item(), 1e-6)
    loss:backward()
    assert.equal("bf16", x.grad.dtype)
    assert.near(-0.90996943, x.grad:get(1, 1), 4e-3)
  end)

  it("take a bf16 student and an f32 teacher", function()
    local teacher = ea.tensor { { 1, 2, 4 } }
    assert.near(0, ea.kl_div(teacher:to("bf16"), teacher):item(), 1e-7)
  end)

  it("name the row and the value of a label outside the classes", function()
    refuses("row 2 has the label 5, but the 4 classes are 1 to 4", ea.cross_entropy, logits,
      ea.tensor({ 1, 5, 2 }, "i32"))
    refuses("row 1 has the label 0", ea.cross_entropy, logits, ea.tensor({ 0, 5, 2 }, "i32"))
  end)

  it("refuse what does not fit", function()
    refuses("need labels {3} i32", ea.cross_entropy, logits, ea.tensor({ 1, 2 }, "i32"))
    refuses("must be i32", ea.cross_entropy, logits, ea.zeros({ 3 }))
    refuses("smoothing must lie in 0..1", ea.cross_entropy, logits, ea.tensor({ 1, 1, 1 }, "i32"),
      { smoothing = 1.5 })
    refuses("at least one of each", ea.cross_entropy, ea.zeros({ 0, 4 }), ea.zeros({ 0 }, "i32"))
    refuses("temperature must be above 0", ea.kl_div, logits, logits, { temperature = 0 })
    refuses("reduction must be 0", ea.kl_div, logits, logits, { reduction = 2 })
    refuses("must have one shape", ea.mse, logits, ea.zeros({ 4, 3 }))
    refuses("a mean over nothing", ea.l1_loss, ea.zeros({ 0 }), ea.zeros({ 0 }))
  end)
end)

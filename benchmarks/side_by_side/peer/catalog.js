// Products and availability.
import { Router } from 'express'
import mongoose from 'mongoose'
import { Inventory, Product } from './models.js'
import { Refusal } from './refusal.js'

const PAGE_SIZE = 24
const PAGE_SIZE_MAX = 100

export const products = Router()
export const inventory = Router()

products.get('/', async (request, response) => {
  const filter = { isActive: true }
  if (request.query.category) filter.category = String(request.query.category)
  const found = await Product.find(filter).sort({ createdAt: -1 }).limit(pageSize(request))
  response.json({ items: await withAvailability(found), nextCursor: null })
})

products.get('/search', async (request, response) => {
  const found = await Product.find(
    { isActive: true, $text: { $search: String(request.query.q) } },
    { score: { $meta: 'textScore' } },
  )
    .sort({ score: { $meta: 'textScore' } })
    .limit(pageSize(request))
  response.json({ items: await withAvailability(found), nextCursor: null })
})

products.get('/:idOrSlug', async (request, response) => {
  const { idOrSlug } = request.params
  const found = mongoose.isValidObjectId(idOrSlug)
    ? await Product.findById(idOrSlug)
    : await Product.findOne({ slug: idOrSlug })
  if (!found) throw new Refusal(404, 'not_found')
  const [item] = await withAvailability([found])
  response.json(item)
})

inventory.get('/availability', async (request, response) => {
  const skus = [request.query.sku].flat().map(String)
  const found = await Inventory.find({ sku: { $in: skus } })
  response.json({
    items: found.map(({ sku, available, lowStockThreshold }) => ({
      sku,
      available,
      inStock: available > 0,
      lowStock: available <= lowStockThreshold,
      action: available > 0 ? 'add_to_cart' : 'notify_me',
    })),
  })
})

async function withAvailability(found) {
  const skus = found.flatMap((product) => [product.sku, ...product.variants.map((variant) => variant.sku)])
  const stock = await Inventory.find({ sku: { $in: skus.filter(Boolean) } })
  const available = new Map(stock.map((item) => [item.sku, item.available]))
  return found.map((product) => {
    const { _id, __v, isActive, score, ...fields } = product.toObject()
    const own = [product.sku, ...product.variants.map((variant) => variant.sku)]
    const units = own.reduce((sum, sku) => sum + (available.get(sku) ?? 0), 0)
    return { id: product.id, ...fields, availability: { inStock: units > 0, available: units } }
  })
}

function pageSize(request) {
  return Math.min(Number(request.query.limit ?? PAGE_SIZE), PAGE_SIZE_MAX)
}
